"""Metrics as TensorBoard event files; imported only by runs that ask for them."""

from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class EventFile:
    """Writes every number of a row under ``<split>/<name>``."""

    def __init__(self, folder: Path, resumed_step: int) -> None:
        self.folder = folder
        self.writer = SummaryWriter(str(folder), purge_step=resumed_step + 1)

    def rewind(self, step: int) -> None:
        """Tell TensorBoard to leave out what came after ``step``."""
        self.writer.close()
        self.writer = SummaryWriter(str(self.folder), purge_step=step + 1)

    def add(self, row: dict[str, Any]) -> None:
        """Add one row of metrics."""
        for name, value in row.items():
            if name not in ("split", "step"):
                self.writer.add_scalar(f"{row['split']}/{name}", value, row["step"])
        self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        self.writer.close()
