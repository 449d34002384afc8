from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planned_sets import in_small_chunks, make_index, make_plan

from espnet2.data.config import PlanConfig
from espnet2.data.frames import num_frames
from espnet2.data.index import Index
from espnet2.data.plan import packing
from espnet2.data.plan.pieces import Stream
from espnet2.data.plan.repeats import Repeats
from espnet2.data.tsv import read_dropped
from espnet2.utils.seeding import rng_for

GROUPS = st.lists(
    st.tuples(st.integers(300, 20_000), st.sampled_from(["eng", "fra"]), st.sampled_from("ab")),
    min_size=1, max_size=60,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(GROUPS, st.integers(2, 40), st.integers(0, 99), st.sampled_from([1.0, 0.3]))
def test_groups_too_large_for_memory_hold_the_same_entries_in_another_order(
    tmp_path_factory, rows, cell, seed, temperature
):
    lengths, languages, corpora = map(list, zip(*rows, strict=True))
    options = {"pack_s": 0.5, "batch_bins": 64_000, "language_temperature": temperature}
    folders = [tmp_path_factory.mktemp("plan") for _ in range(2)]
    plans = [make_plan(folders[0], lengths, seed, languages, corpora, **options)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "CELL", cell)
        plans.append(make_plan(folders[1], lengths, seed, languages, corpora, **options))
    in_memory, in_cells = (np.asarray(plan.rows).tolist() for plan in plans)
    config = PlanConfig(**options)
    times = np.concatenate([t for _, t in Repeats(Index.open(folders[0]), config, seed)])
    frames = num_frames(np.array(lengths))
    expected = {row: times[row] for row in range(len(rows)) if frames[row]}
    group = [(corpora[row], languages[row]) for row in in_memory]
    assert group == sorted(group) == [(corpora[row], languages[row]) for row in in_cells]
    for plan, order in zip(plans, (in_memory, in_cells), strict=True):
        assert Counter(order) == expected
        stream = Stream.open(plan.folder, 7760)  # half a second is 24 frames
        starts = np.cumsum([0, *(frames[row] for row in order)])
        assert np.asarray(stream.starts).tolist() == starts.tolist()
        nbytes = (np.array(lengths) // 3).astype(np.int64)
        parts = [stream.parts(number) for number in range(stream.count)]
        read = sum(int(nbytes[part.row]) for piece in parts for part in piece)
        assert plan.summary["audio_bytes_per_pass"] == read
        heard = {part.row for piece in parts for part in piece}
        dropped = {int(d.utt_id[1:]) for d in read_dropped(plan.folder / "dropped.tsv")}
        assert dropped == set(range(len(rows))) - heard
        assert plan.summary["dropped"] == len(dropped)


def test_a_group_is_shuffled_by_a_generator_of_its_own_name(tmp_path):
    languages = ["fra", "eng"] * 20
    plan = make_plan(tmp_path, [16_000] * 40, 5, languages, pack_s=1.0, batch_bins=64_000)
    expected = [
        *rng_for(5, "pack", "c", "eng").permutation(np.arange(1, 40, 2)),
        *rng_for(5, "pack", "c", "fra").permutation(np.arange(0, 40, 2)),
    ]
    assert np.asarray(plan.rows).tolist() == [int(row) for row in expected]


def test_a_large_group_is_well_mixed_whatever_the_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "CELL", 100)
    orders = []
    for size in (10**6, 64, 999):
        in_small_chunks(monkeypatch, size)
        plan = make_plan(tmp_path / str(size), [8000] * 1000, 1, pack_s=1.0, batch_bins=64_000)
        orders.append(np.asarray(plan.rows).astype(int))
    np.testing.assert_array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0], orders[2])
    assert np.mean(np.abs(np.diff(orders[0])) < 10) < 0.05
    cells = np.histogram(orders[0][:100], bins=10, range=(0, 1000))[0]
    assert cells.max() < 25  # 10 expected of each tenth of the set


def test_the_last_rest_of_a_repeated_utterance_is_not_lost(tmp_path):
    """Both are drawn twice, and only the end of the second half makes no whole piece."""
    index = make_index(tmp_path, [16_000] * 9 + [16_000], ["eng"] * 9 + ["fra"])
    assert len(index) == 10
    plan = make_plan(tmp_path, [16_000] * 10, 0, ["eng"] * 9 + ["fra"], pack_s=1.5,
                     batch_bins=64_000, language_temperature=0.5)  # fmt: skip
    assert len(plan.rows) == 12  # fra three times
    rest = len(plan.rows) * 49 - plan.stream.count * plan.stream.frames
    assert rest > 49  # the last entry, of fra, lies wholly after the last piece
    assert plan.summary["dropped"] == 0
    assert plan.most_repeats == 3
