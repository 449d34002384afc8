"""A ``.npy`` file written piece by piece, in any order, without holding it."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from espnet2.utils.files import atomic_path


@contextlib.contextmanager
def npy_writer(path: Path, dtype: type, count: int) -> Iterator[Callable[[int, np.ndarray], None]]:
    """Yield ``put(at, values)``, which writes ``values`` (n,) as entries ``at`` to ``at + n``.

    The file, (count,) of ``dtype``, appears when the block ends, byte for byte as ``np.save``
    writes it; every entry must have been put.
    """
    dtype = np.dtype(dtype)
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": (count,),
    }
    with atomic_path(path) as part, part.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        begin, written = file.tell(), 0

        def put(at: int, values: np.ndarray) -> None:
            nonlocal written
            file.seek(begin + at * dtype.itemsize)
            file.write(np.ascontiguousarray(values, dtype).view(np.uint8))
            written += len(values)

        yield put
        assert written == count, f"{path}: {written} of {count} entries written"
