import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import normalized_mutual_info_score
from tiny_labels import table_of, write_set
from tiny_tokens import make_set

from espnet2.tokens.quality.agreement import agreement, matched, nmi

TABLES = arrays(np.int64, (4, 6), elements=st.integers(0, 9)).filter(lambda table: table.any())


@settings(deadline=None)
@given(TABLES)
def test_the_pairing_is_the_best_there_is(dense):
    best = dense[linear_sum_assignment(dense, maximize=True)].sum() / dense.sum()
    assert matched(table_of(dense)) == pytest.approx(best, abs=1e-15)
    assert matched(table_of(dense.T)) == pytest.approx(best, abs=1e-15)


@settings(deadline=None)
@given(TABLES)
def test_the_mutual_information_is_normalised_as_in_scikit_learn(dense):
    rows, columns = np.nonzero(dense)
    pairs = np.repeat([rows, columns], dense[rows, columns], axis=1)
    assert nmi(table_of(dense)) == pytest.approx(normalized_mutual_info_score(*pairs), abs=1e-9)


def test_a_pairing_worked_out_by_hand():
    # Greedy pairing would take 5 and leave 0; the best is 4 + 4.
    assert matched(table_of([[5, 4], [4, 0]])) == 8 / 13
    assert matched(table_of([[2, 3, 5]])) == 0.5
    assert nmi(table_of([[9]])) == 1.0


def compared(tmp_path, lengths, one, other, clusters=8):
    index = make_set(tmp_path, lengths=lengths)
    return agreement(
        write_set(index, tmp_path / "one", one, clusters),
        write_set(index, tmp_path / "other", other, clusters),
    )


def test_renamed_clusters_agree_in_every_frame(tmp_path):
    rng, new = np.random.default_rng(0), np.random.default_rng(1).permutation(65536)
    ids = [rng.integers(0, 65536, 400) for _ in range(8)]
    found = compared(
        tmp_path, [16000] * 8, lambda row, n: ids[row][:n], lambda row, n: new[ids[row][:n]], 65536
    )
    assert found == {"frames": 8 * 49, "nmi": pytest.approx(1.0, abs=1e-12), "matched": 1.0}


def test_the_frames_that_differ_are_counted(tmp_path):
    # 49 frames of three clusters in turn; the other set calls them 5, 6, 7, and ten of them 0.
    found = compared(
        tmp_path, [16000], lambda row, n: np.arange(n) % 3,
        lambda row, n: np.where(np.arange(n) < 10, 0, np.arange(n) % 3 + 5),
    )  # fmt: skip
    assert found["frames"] == 49
    assert found["matched"] == 39 / 49


def test_labels_of_no_relation_do_not_agree(tmp_path):
    found = compared(
        tmp_path, [64080] * 3, lambda row, n: np.arange(n) % 2, lambda row, n: np.arange(n) // 2 % 2
    )
    assert found["matched"] == pytest.approx(0.5, abs=0.01)
    assert found["nmi"] == pytest.approx(0.0, abs=1e-4)
