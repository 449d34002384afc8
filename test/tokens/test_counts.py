import numpy as np
import pytest
from tiny_labels import write_set
from tiny_tokens import make_set

from espnet2.tokens.quality.counts import (
    Counts,
    count_labels,
    divergence,
    entropy,
    judge,
    load_counts,
    run_lengths,
    save_counts,
    save_histograms,
    summary,
)
from espnet2.utils.errors import DataError


def counted():
    counts = Counts.empty(4)
    ids = np.array([0, 0, 1, 1, 1, 1, 2, 2], dtype=np.uint16)
    counts.add(ids, np.array([4, 0, 4]), ["eng", "fra", "deu"])
    return counts


def test_runs_end_with_their_utterance():
    ids = np.array([5, 5, 5, 7, 7, 7, 7])
    assert run_lengths(ids, np.array([2, 3, 0, 2])).tolist() == [2, 1, 2, 2]
    assert run_lengths(ids, np.array([7, 0])).tolist() == [3, 4]
    assert run_lengths(np.array([]), np.array([0])).tolist() == []


def test_the_figures_are_those_one_can_count_by_hand():
    figures = summary(counted())
    assert figures["frames"] == 8
    assert (figures["used_clusters"], figures["dead_clusters"]) == (3, 1)
    assert figures["entropy_bits"] == pytest.approx(1.5)
    assert figures["perplexity"] == pytest.approx(2**1.5)
    assert figures["majority_share"] == 0.5
    assert figures["mean_run_frames"] == 2.0
    assert figures["longest_run_frames"] == 2
    assert figures["languages"]["eng"]["used_clusters"] == 2
    assert figures["languages"]["eng"]["divergence_bits"] == pytest.approx(0.5)
    assert figures["languages"]["fra"]["hours"] == 0


def test_a_label_that_names_the_language_tells_all_of_it():
    counts = Counts.empty(2)
    counts.add(np.array([0, 0, 1, 1]), np.array([2, 2]), ["eng", "fra"])
    assert summary(counts)["language_information"] == pytest.approx(1.0)
    counts.add(np.array([1, 1, 0, 0]), np.array([2, 2]), ["eng", "fra"])
    assert summary(counts)["language_information"] == pytest.approx(0.0, abs=1e-12)


def test_entropy_and_divergence_have_their_known_ends():
    assert entropy(np.array([3, 3, 0, 3, 3])) == pytest.approx(2.0)
    assert entropy(np.array([0, 9])) == 0.0
    assert divergence(np.array([1, 0]), np.array([0, 5])) == pytest.approx(1.0)
    assert divergence(np.array([1, 2]), np.array([2, 4])) == 0.0


def test_counts_of_shards_add_up_and_survive_the_disk(tmp_path):
    path = tmp_path / "a.u16"
    save_counts(path, counted())
    again = load_counts(path)
    again.merge(counted())
    assert again.by_cluster.tolist() == [4, 8, 4, 0]
    assert again.labels["deu"].tolist() == [0, 4, 4, 0]
    assert again.runs[2] == 8
    save_counts(path, Counts.empty(3))
    assert load_counts(path).by_cluster.tolist() == [0, 0, 0]


def test_dead_clusters_are_judged_only_where_there_is_enough_to_judge():
    figures = {"num_clusters": 10, "dead_clusters": 2, "frames": 1000}
    judge(figures, max_dead_ratio=0.2)
    with pytest.raises(DataError, match=r"2 of 10 clusters have no frame, more than .* 0.1;"):
        judge(figures, max_dead_ratio=0.1)
    judge({**figures, "frames": 999}, max_dead_ratio=0.1)


def test_a_label_set_is_counted_from_its_files_as_it_was_while_it_was_made(tmp_path):
    index = make_set(tmp_path)
    ids = np.random.default_rng(0).integers(0, 8, (len(index), 60))
    store = write_set(index, tmp_path / "x", lambda row, frames: ids[row][:frames])
    expected = Counts.empty(8)
    for row in range(len(index)):
        frames = index.frames_of(row)
        expected.add(ids[row][:frames], np.array([frames]), [index.languages[row]])
    assert summary(count_labels(store)) == summary(expected)


def test_a_label_that_is_no_cluster_is_named_with_its_file(tmp_path):
    index = make_set(tmp_path)
    store = write_set(index, tmp_path / "x", lambda row, frames: [8 * (row == 4)] * frames)
    with pytest.raises(DataError, match=r"b\.shards\.000\.ark\.u16: holds cluster 8, but the code"):
        count_labels(store)


def test_the_histograms_of_a_set_are_an_array_that_numpy_opens(tmp_path):
    save_histograms(tmp_path / "h.npz", counted())
    with np.load(tmp_path / "h.npz") as file:
        assert file["languages"].tolist() == ["deu", "eng", "fra"]
        assert file["labels"].tolist() == [[0, 2, 2, 0], [2, 2, 0, 0], [0, 0, 0, 0]]
