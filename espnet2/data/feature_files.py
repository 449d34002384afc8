"""Features of utterances on the disk: an ``.npz`` each, or one Kaldi ark with its scp.

Shapes: T frames, L layers, D width.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import kaldiio
import numpy as np

from espnet2.data.kaldi import write_table
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path, sync

MAX_NAME_BYTES = 255 - len("..npz.part")  # what a file system leaves of a name for the id

Write = Callable[[str, np.ndarray], None]


def check_npz_ids(utt_ids: Sequence[str]) -> None:
    """Refuse ids that cannot be the name of a file. Raises DataError."""
    for utt_id in utt_ids:
        if "/" in utt_id:
            raise DataError(f"utterance {utt_id}: an id with '/' names no file; use --format ark")
        if len(utt_id.encode()) > MAX_NAME_BYTES:
            raise DataError(f"utterance {utt_id}: too long a name for a file; use --format ark")


def check_ark_ids(utt_ids: Sequence[str]) -> None:
    """Refuse ids that a line of an scp cannot hold. Raises DataError."""
    for utt_id in utt_ids:
        if utt_id.split() != [utt_id]:
            raise DataError(
                f"utterance '{utt_id}': a Kaldi ark takes no id with spaces; use --format npz"
            )


@contextlib.contextmanager
def npz_folder(out: Path, utt_ids: Sequence[str]) -> Iterator[Write]:
    """Gives write(utt_id, array): ``OUT/<utt_id>.npz`` with one array, ``features``.

    Files of an earlier run for these ids are removed first, so that what lies there is new.
    """
    out.mkdir(parents=True, exist_ok=True)
    for utt_id in utt_ids:
        for path in npz_paths(out, utt_id):
            path.unlink(missing_ok=True)

    def write(utt_id: str, features: np.ndarray) -> None:
        path, part = npz_paths(out, utt_id)
        with part.open("wb") as file:
            np.savez(file, features=features)
        sync(part)
        os.replace(part, path)

    yield write


def npz_paths(out: Path, utt_id: str) -> tuple[Path, Path]:
    """The file of an utterance, and where it is written (``atomic_path`` would look through the
    whole folder for each)."""
    return out / f"{utt_id}.npz", out / f".{utt_id}.npz.part"


@contextlib.contextmanager
def kaldi_ark(out: Path, utt_ids: Sequence[str]) -> Iterator[Write]:
    """Gives write(utt_id, (T, D) float32): records of ``OUT/features.ark``, in order of writing.

    ``features.scp`` follows at the end, in C order; both of an earlier run are removed first.
    """
    ark, scp = out / "features.ark", out / "features.scp"
    scp.unlink(missing_ok=True)
    ark.unlink(missing_ok=True)
    addresses = {}
    with atomic_path(ark) as part, part.open("wb") as file:

        def write(utt_id: str, features: np.ndarray) -> None:
            offset = file.tell() + len(utt_id.encode()) + 1  # behind "<utt_id> "
            addresses[utt_id] = f"{ark.absolute()}:{offset}"
            kaldiio.save_ark(file, {utt_id: features})

        yield write
    write_table(scp, addresses)


# name -> (check of the ids, writer)
FORMATS = {"npz": (check_npz_ids, npz_folder), "ark": (check_ark_ids, kaldi_ark)}
