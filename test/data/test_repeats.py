import numpy as np
import pytest
from planned_sets import in_small_chunks, make_index

from espnet2.data.config import PlanConfig
from espnet2.data.plan.repeats import Repeats


def counts_of(index, seed=0, **options):
    """(rows,) repeats of every row."""
    return np.concatenate([times for _, times in Repeats(index, PlanConfig(**options), seed)])


def test_temperature_half_draws_a_small_language_more_often(tmp_path):
    index = make_index(tmp_path, [16000] * 1700, ["eng"] * 1600 + ["fra"] * 100)
    repeats = counts_of(index, language_temperature=0.5)
    assert set(repeats[:1600]) == {1}
    assert set(repeats[1600:]) == {4}  # (1600 / 100) ** 0.5
    capped = counts_of(index, language_temperature=0.0, max_repeats=2.5)
    assert set(capped[1600:]) == {2, 3}
    assert set(counts_of(index)) == {1}


def test_the_mean_of_the_repeats_is_the_weight(tmp_path):
    languages = ["eng"] * 16_000 + ["fra"] * 3000 + ["zul"] * 2000
    lengths = np.random.default_rng(0).integers(8000, 24_000, len(languages))
    index = make_index(tmp_path, lengths, languages)
    repeats = counts_of(index, language_temperature=0.4)
    hours = [lengths[np.array(languages) == name].sum() for name in ("eng", "fra", "zul")]
    for name, own in zip(("eng", "fra", "zul"), hours, strict=True):
        weight = (hours[0] / own) ** 0.6  # hours ** 0.4 a hour, beside English
        drawn = repeats[np.array(languages) == name]
        assert set(drawn) <= {int(weight), int(weight) + 1}
        assert drawn.mean() == pytest.approx(weight, abs=4 * 0.5 / len(drawn) ** 0.5)


def test_corpora_of_a_language_are_weighed_within_it(tmp_path):
    index = make_index(
        tmp_path, [16000] * 1500, ["eng"] * 1100 + ["fra"] * 400,
        ["a"] * 1000 + ["b"] * 100 + ["a"] * 400,
    )  # fmt: skip
    repeats = counts_of(index, corpus_temperature=0.0, max_repeats=100.0)
    hours = [repeats[:1000].sum(), repeats[1000:1100].sum(), repeats[1100:].sum()]
    assert hours[0] == pytest.approx(hours[1], rel=0.01)  # both corpora of English alike
    assert sum(hours[:2]) / hours[2] == pytest.approx(1100 / 400, rel=0.03)  # languages as before


def test_every_walk_and_every_size_of_chunks_draws_the_same(tmp_path, monkeypatch):
    index = make_index(tmp_path, [16000] * 900, ["eng"] * 700 + ["fra"] * 200)
    expected = counts_of(index, 5, language_temperature=0.5)
    assert set(expected[700:]) == {1, 2}
    repeats = Repeats(index, PlanConfig(language_temperature=0.5), 5)
    for size in (900, 7, 1):
        in_small_chunks(monkeypatch, size)
        np.testing.assert_array_equal(np.concatenate([times for _, times in repeats]), expected)
    assert (counts_of(index, 6, language_temperature=0.5) != expected).any()


def test_a_weight_of_one_never_repeats_whatever_is_drawn(tmp_path):
    index = make_index(tmp_path, [16000] * 3000, ["eng", "fra", "zul"] * 1000)
    repeats = Repeats(index, PlanConfig(language_temperature=0.3), 0)
    assert repeats.weights.tolist() == [1, 1, 1]
    assert repeats.is_once
