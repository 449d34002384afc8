"""How far two label sets of one index agree, whatever the clusters are called in either.

Shapes: K clusters of one set, L of the other.
"""

from typing import Any

import numpy as np
from scipy.sparse import csr_array, eye_array, hstack
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from espnet2.data.labels import LabelStore
from espnet2.tokens.quality.cells import Cells, Table
from espnet2.tokens.quality.counts import entropy, shard_ids
from espnet2.tokens.quality.purity import ID_BITS, information


def agreement(one: LabelStore, other: LabelStore) -> dict[str, Any]:
    """Compare two label sets frame by frame, over all frames of their index.

    ``nmi``: mutual information over the mean of the two entropies; 0 independent, 1 renamed.
    ``matched``: share of frames that agree once the clusters are paired one to one as well as can
    be; exactly 1 where one set is the other with its clusters renamed.
    """
    joint = joint_table(one, other)
    return {"frames": joint.total, "nmi": nmi(joint), "matched": matched(joint)}


def joint_table(one: LabelStore, other: LabelStore) -> Table:
    """(K, L): how often each two clusters met in a frame."""
    cells = Cells()
    for shard in one.index.each_shard():
        cells.add(shard_ids(one, shard).astype(np.int64) << ID_BITS | shard_ids(other, shard))
    return Table.of_codes(*cells.counted(), ID_BITS)


def nmi(joint: Table) -> float:
    """Mutual information over the arithmetic mean of the entropies; 1 if both have one cluster."""
    mean = (entropy(joint.row_sums) + entropy(joint.column_sums)) / 2
    return min(information(joint) / mean, 1.0) if mean else 1.0


def matched(joint: Table) -> float:
    """Largest share of frames that a one-to-one pairing of clusters can have in common.

    The same value as ``scipy.optimize.linear_sum_assignment`` on the dense table (K, L), found from
    its cells alone: 65,536² of them would not fit. Each row gets a column of its own that is worth
    nothing, so that it may stay alone; all worths are one higher, since 0 means no cell.
    """
    if not joint.total:
        return 1.0
    rows, row_of = np.unique(joint.rows, return_inverse=True)
    columns, column_of = np.unique(joint.columns, return_inverse=True)
    shape = (len(rows), len(columns))
    worth = csr_array((joint.counts + 1, (row_of, column_of)), shape=shape)
    alone = eye_array(len(rows), dtype=np.int64)
    table = csr_array(hstack([worth, alone]))
    pairs = min_weight_full_bipartite_matching(table, maximize=True)
    return (int(table[pairs].sum()) - len(rows)) / joint.total
