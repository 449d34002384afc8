"""The index of a set: one row an utterance, in an Arrow file with ``index.json`` beside it.

``columns.py`` reads it by position, ``writer.py`` writes it in a stream, ``selection.py`` counts or
copies a part of it.
"""

from espnet2.data.index.index import (
    Index,
    IndexedUtterance,
    ShardRows,
    index_json,
    record_batches,
    table_of,
    write_index,
)

__all__ = [
    "Index", "IndexedUtterance", "ShardRows", "index_json", "record_batches", "table_of",
    "write_index",
]  # fmt: skip
