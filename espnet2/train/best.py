"""The models of lowest validation loss, and ``best.json``, which ranks them."""

import math
from pathlib import Path

from espnet2.train.checkpoint import saved_steps, step_path
from espnet2.utils.files import read_json, write_json

Ranking = list[dict[str, float]]  # {"step", "loss"}, the best first


class BestModels:
    """Which steps' models to keep; the files themselves are written by others."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep, self.ranking = folder, keep, read_ranking(folder)

    def enter(self, step: int, loss: float) -> bool:
        """Rank a model by its loss; whether it is to be kept. Of equals the later one is better."""
        if not math.isfinite(loss):
            return False
        others = [row for row in self.ranking if row["step"] != step]
        rows = sorted([*others, {"step": step, "loss": loss}], key=by_loss)
        self.ranking = rows[: self.keep]
        return self.holds(step)

    def holds(self, step: int) -> bool:
        """Whether the model of ``step`` is one of the best."""
        return any(row["step"] == step for row in self.ranking)

    def rewind(self, step: int) -> None:
        """Forget the models after ``step``: training went back to it and goes another way."""
        self.ranking = [row for row in self.ranking if row["step"] <= step]
        self.tidy()

    def tidy(self) -> None:
        """Remove models that are not in the ranking, such as a killed run leaves."""
        if self.folder.is_dir():
            write_ranking(self.folder, self.ranking)


def by_loss(row: dict[str, float]) -> tuple[float, int]:
    """The order of a ranking."""
    return row["loss"], -row["step"]


def read_ranking(folder: Path) -> Ranking:
    """The ranking in ``folder``, without models that are not there."""
    path = folder / "best.json"
    rows = read_json(path) if path.is_file() else []
    return [row for row in rows if step_path(folder, row["step"]).is_file()]


def write_ranking(folder: Path, ranking: Ranking) -> None:
    """Write ``best.json`` once its models are there, then remove those that fell out."""
    write_json(folder / "best.json", ranking)
    for step in set(saved_steps(folder)) - {row["step"] for row in ranking}:
        step_path(folder, step).unlink()
