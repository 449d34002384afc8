"""A cell of the ML-SUPERB matrix and its folder: ``<encoder>/<task>_<track>_lr<lr>_seed<seed>``."""

import re
from dataclasses import dataclass
from pathlib import Path

from espnet2.asr.config import task_kind
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import read_json

CELL_NAME = re.compile(  # a corpus, and so a monolingual task, may have capitals and underscores
    r"(?P<task>[A-Za-z0-9_.-]+)_(?P<track>[A-Za-z0-9.-]+)"
    r"_lr(?P<lr>[0-9.e+-]+)_seed(?P<seed>[0-9]+)"
)
MARKER = ".cell.done"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One trained, or untrained, probe."""

    encoder: str
    """Name of the encoder: the folder above the cell's."""

    task: str
    """multi, lid, joint or mono-<iso>-<corpus>."""

    track: str
    """10min or 1h."""

    lr: str
    """Learning rate of the probe, as spelled in the folder's name."""

    seed: int
    """Seed of the probe."""

    folder: Path

    @property
    def name(self) -> str:
        """Encoder and folder, as logs and tables show it."""
        return f"{self.encoder}/{self.folder.name}"

    @property
    def kind(self) -> str:
        """mono, multi, lid or joint."""
        return task_kind(self.task)

    @property
    def is_trained(self) -> bool:
        """Stage 11 ended well: its marker is gone as soon as it begins the cell again."""
        return all((self.folder / name).is_file() for name in ("model.pth", MARKER))

    @property
    def why_not_trained(self) -> str:
        """The last line of what stopped stage 11, where it noted one."""
        try:
            return str(read_json(self.folder / "failed.json")["reason"])
        except FileNotFoundError:
            return "has no trained model; run stage 11 (finetune) for it"
        except (ValueError, KeyError, TypeError):
            return "has no trained model, and its failed.json is damaged; run stage 11 (finetune)"

    @property
    def files(self) -> list[Path]:
        """The files that decide what the cell says: a probe is small enough to be hashed.

        The marker beside the features stands for the features themselves.
        """
        features = (self.folder.parent / "features").glob(f"{self.track}_*/.features.done")
        own = [self.folder / name for name in ("config.yaml", "vocabulary.txt", "model.pth")]
        return [*own, *sorted(features)]


def find_cells(root: Path) -> list[Cell]:
    """All cells below ``root``, sorted by encoder and name.

    Raises:
        DataError: no cell at all, or a cell of a task that this scorer does not know.
    """
    folders = sorted(path for path in Path(root).glob("*/*_lr*_seed*") if path.is_dir())
    if not folders:
        raise DataError(f"{root}: holds no cell (<encoder>/<task>_<track>_lr<lr>_seed<seed>)")
    return [parse_cell(folder) for folder in folders]


def parse_cell(folder: Path) -> Cell:
    """The cell that a folder's name and its parent's describe."""
    match = CELL_NAME.fullmatch(folder.name)
    if match is None:
        raise DataError(f"{folder}: is not named <task>_<track>_lr<lr>_seed<seed>")
    try:
        task_kind(match["task"])
    except ConfigError as error:
        raise DataError(f"{folder}: {error}") from None
    return Cell(
        encoder=folder.parent.name,
        task=match["task"],
        track=match["track"],
        lr=match["lr"],
        seed=int(match["seed"]),
        folder=folder,
    )
