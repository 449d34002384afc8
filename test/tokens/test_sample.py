import tracemalloc

import numpy as np
import pytest
from tiny_tokens import make_set

from espnet2.bench.synthetic_index import SyntheticIndex
from espnet2.data.frames import num_frames
from espnet2.data.index import Index, writer
from espnet2.tokens.config import Quota
from espnet2.tokens.sample import choose, draw, gather, spread
from espnet2.tokens.teachers.mfcc import MfccConfig, MfccTeacher
from espnet2.utils.errors import ConfigError, DataError

SECOND = 1 / 3600  # in hours


def synthetic(folder, rows, seed=1):
    made = SyntheticIndex(folder / "train/index.arrow", rows, seed)
    made.write(rows)
    made.close()
    return Index.open(folder / "train")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """20,000 utterances, 80 h, of some of 41 corpora."""
    return synthetic(tmp_path_factory.mktemp("large"), 20_000)


def drawn_rows(index, quotas, seed=1):
    drawn = draw(index, quotas, seed)
    return np.concatenate([drawn.chosen(index, chunk) for chunk in index.chunks()])


def in_chunks(monkeypatch, size):
    def chunks(self):
        return (slice(i, min(i + size, len(self))) for i in range(0, len(self), size))

    monkeypatch.setattr(Index, "chunks", chunks)


def as_lists(sample):
    return sample.rows.tolist(), sample.firsts.tolist(), sample.frames.tolist(), sample.hours


@pytest.mark.parametrize("hours", [0.001, 1.0, 7.77])
def test_a_quota_takes_the_lowest_numbers_and_the_last_one_crosses_the_line(large, hours):
    quotas = (Quota(corpora=("corpus01",)), Quota(hours=hours))
    drawn = draw(large, quotas, 3)
    _, numbers = drawn.numbers(large, slice(0, len(large)))
    theirs = np.flatnonzero(np.asarray(large.corpora) != "corpus01")
    in_order = theirs[np.argsort(numbers[theirs])]
    filled = np.cumsum(large.num_samples[in_order], dtype=np.int64) / 16000 / 3600
    expected = in_order[: np.searchsorted(filled, hours) + 1]
    everything = np.flatnonzero(np.asarray(large.corpora) == "corpus01")
    assert len(everything) > 500
    rows = drawn_rows(large, quotas, 3)
    assert rows.tolist() == sorted([*expected, *everything])
    longest = 40 * SECOND
    assert hours <= choose(large, (quotas[1],), 10**9, 3).hours_read < hours + longest


@pytest.mark.parametrize("size", [50, 977, 2**14])
def test_how_the_index_is_cut_into_chunks_changes_nothing(large, monkeypatch, size):
    quotas = (Quota(corpora=("corpus00", "corpus02"), hours=9.0), Quota(hours=5.0))
    whole = as_lists(choose(large, quotas, 3000, 1))
    assert as_lists(choose(large, quotas, 3000, 2)) != whole
    in_chunks(monkeypatch, size)
    assert as_lists(choose(large, quotas, 3000, 1)) == whole


def test_every_utterance_of_a_quota_is_drawn_equally_often(tmp_path):
    index = make_set(tmp_path, lengths=[8000] * 40)
    quotas = (Quota(hours=9.5 * 0.5 * SECOND),)  # 10 of 40
    often = np.zeros(40)
    for seed in range(400):
        rows = drawn_rows(index, quotas, seed)
        assert len(rows) == 10
        often[rows] += 1
    # 400 draws of a quarter each: 100 with a deviation of sqrt(400 / 4 * 3 / 4) = 8.7
    assert often.mean() == 100
    assert np.abs(often - 100).max() < 4.5 * 8.7
    assert 0.5 < often.var() / 75 < 1.7


def test_a_draw_is_of_all_corpora_in_their_proportions(large):
    rows = drawn_rows(large, (Quota(hours=0.25 * large.hours),))
    codes = np.asarray(large.corpora.codes[0 : len(large)])
    all_of, drawn_of = np.bincount(codes), np.bincount(codes[rows], minlength=codes.max() + 1)
    deviation = np.sqrt(all_of * len(rows) / len(large) + 1)
    assert (np.abs(drawn_of - all_of * len(rows) / len(large)) < 4.5 * deviation).all()


def test_quotas_do_not_share_their_draws(large):
    """The same rows with the numbers of another quota would be drawn otherwise."""
    first = drawn_rows(large, (Quota(hours=5.0), Quota(corpora=("corpus40",))))
    second = drawn_rows(large, (Quota(corpora=("corpus40",)), Quota(hours=5.0)))
    assert 0 < len(np.intersect1d(first, second)) < 0.3 * len(first)


def test_the_chosen_frames_are_spread_over_the_drawn_utterances_and_never_twice(large):
    quotas = (Quota(hours=2.0),)
    rows = drawn_rows(large, quotas)
    frames_of = num_frames(large.num_samples[rows])
    for max_frames in (10, 5000, int(frames_of.sum()), 10**9):
        sample = choose(large, quotas, max_frames, 1)
        counts = np.diff(sample.firsts)
        assert (counts > 0).all()
        assert (np.diff(sample.rows) > 0).all()
        starts = (np.cumsum(frames_of) - frames_of)[np.searchsorted(rows, sample.rows)]
        assert set(sample.rows) <= set(rows)
        positions = np.repeat(starts, counts) + sample.frames
        expected = spread(int(frames_of.sum()), max_frames, 1)
        np.testing.assert_array_equal(positions, expected)
        assert (sample.frames < np.repeat(large.frames_of(sample.rows), counts)).all()
        assert len(sample.rows) <= len(sample.frames) <= max_frames
        assert sample.utterances == len(rows)
        read = large.num_samples[sample.rows].sum(dtype=np.int64) / 16000 / 3600
        assert sample.hours_read == pytest.approx(read)
    assert sample.hours_read == pytest.approx(sum(sample.hours.values()), abs=0.05)


def test_utterances_without_a_chosen_frame_are_not_read(large):
    sample = choose(large, (Quota(hours=40.0),), 2000, 1)
    assert sum(sample.hours.values()) == pytest.approx(40.0, abs=0.02)
    assert sample.hours_read < 0.4 * 40  # one frame in 72 s, and utterances of 14 s


def test_memory_does_not_grow_with_the_index(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "ROWS_PER_BATCH", 2**12)
    quotas = (Quota(corpora=("corpus00", "corpus03"), hours=15.0), Quota(hours=20.0))
    peaks = []
    for rows in (10_000, 160_000):
        index = synthetic(tmp_path / str(rows), rows)
        choose(index, quotas, 5000, 1)  # what is imported and cached the first time
        tracemalloc.start()
        choose(index, quotas, 5000, 1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 2**23


def test_quotas_draw_their_hours_from_their_corpora(tmp_path, capfd):
    index = make_set(tmp_path, lengths=[8000] * 30)  # corpus a: 20 rows, b: 10 rows
    corpora = np.asarray(index.corpora)
    half = 0.5 * SECOND
    rows = drawn_rows(index, (Quota(corpora=("b",), hours=3.5 * half), Quota(hours=7 * half)))
    assert (corpora[rows] == "b").sum() == 4  # the fourth crosses the line
    assert (corpora[rows] == "a").sum() == 7
    assert len(drawn_rows(index, (Quota(corpora=("a",)),))) == 20
    assert capfd.readouterr().err == ""
    assert len(drawn_rows(index, (Quota(corpora=("b",), hours=1.0),))) == 10
    assert "a quota of 1 h takes all 0.00 h there are of b" in capfd.readouterr().err


def test_a_quota_for_an_unknown_corpus_or_for_nothing_is_refused(tmp_path):
    index = make_set(tmp_path)
    with pytest.raises(ConfigError, match="the index has no corpus 'aa'; did you mean 'a'"):
        choose(index, (Quota(corpora=("aa",)),), 100, seed=1)
    silent = make_set(tmp_path, "short", lengths=[399, 20])
    with pytest.raises(DataError, match="the quotas leave nothing to fit a codebook on"):
        choose(silent, (Quota(),), 100, seed=1)


@pytest.mark.parametrize(("total", "count"), [(10, 20), (10, 10), (1000, 7), (1000, 999)])
def test_frames_are_spread_evenly(total, count):
    positions = spread(total, count, seed=3)
    assert positions.min() >= 0
    assert positions.max() < total
    assert (np.diff(positions) > 0).all()
    assert min(total, count) * 0.6 <= len(positions) <= min(total, count)
    if count == 7:
        assert (positions * 7 // 1000).tolist() == list(range(7))


def test_any_frame_of_a_part_may_be_the_chosen_one():
    firsts = np.array([spread(1000, 20, seed)[0] for seed in range(400)])
    often = np.bincount(firsts, minlength=50)  # 8 each, with a deviation of 2.8
    assert len(often) == 50
    assert often.min() > 0
    assert often.max() < 8 + 5 * 2.8


def test_the_gathered_frames_are_the_chosen_ones_for_any_batch_size(tmp_path):
    index = make_set(tmp_path)
    teacher = MfccTeacher(MfccConfig())
    for max_frames in (5, 60, 10**6):
        sample = choose(index, (Quota(),), max_frames, seed=1)
        parts = np.split(sample.frames, sample.firsts[1:-1])
        expected = [
            teacher.frames([index.audio(row)]).values.numpy()[frames]
            for row, frames in zip(sample.rows, parts, strict=True)
        ]
        for seconds in (0.01, 1.0, 100.0):
            frames = gather(teacher, index, sample, seconds)
            np.testing.assert_array_equal(frames, np.concatenate(expected))


def test_frames_are_gathered_from_batches_in_any_order(tmp_path):
    class Backwards(MfccTeacher):
        def groups(self, num_samples):
            return list(np.arange(len(num_samples))[::-1, None])

    index = make_set(tmp_path)
    sample = choose(index, (Quota(),), 60, seed=1)
    forwards = gather(MfccTeacher(MfccConfig()), index, sample, 1.0)
    np.testing.assert_array_equal(gather(Backwards(MfccConfig()), index, sample, 1.0), forwards)
