"""Which Kaldi data directories are the corpora of a run."""

from pathlib import Path

from espnet2.utils.errors import DataError

NOISE = "noise"  # holds recorded noises for stage 6, not speech
RESERVED = ("train", "valid", "superb", "rirs", NOISE)  # folders of dump that stages write


def find_corpora(folders: list[Path]) -> list[Path]:
    """The data directories that ``folders`` are or hold, but ``noise``.

    Raises:
        DataError: a folder without one, or a name that is given twice or is not free.
    """
    found = []
    for folder in folders:
        inside = [path.parent for path in sorted(folder.glob("*/wav.scp"))]
        inside = [path for path in inside if path.name != NOISE]
        if (folder / "wav.scp").is_file():
            inside = [folder]
        if not inside:
            raise DataError(f"{folder}: no wav.scp here or one folder below; run stage 1 first")
        found += inside
    names = [path.name for path in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DataError(f"two data directories are named {min(twice)}; a corpus needs its own name")
    for path in found:
        if path.name in RESERVED:
            raise DataError(
                f"{path}: later stages write a folder {path.name}; give the corpus another name"
            )
    return found
