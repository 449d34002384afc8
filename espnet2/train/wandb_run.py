"""Metrics in Weights & Biases; imported only by runs that ask for it."""

import secrets
from pathlib import Path
from typing import Any

from espnet2.utils.config import load_yaml
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import write_text


class WandbRun:
    """One run there, however often ours is resumed: its id lies in ``wandb_id.txt``.

    Nothing can be taken back there: after a rollback the steps since are drawn twice.
    """

    def __init__(self, exp_dir: Path, project: str | None) -> None:
        """``project``: None takes the name of the experiment's folder.

        Raises:
            ConfigError: the package is missing, or it cannot begin.
        """
        try:
            import wandb  # noqa: PLC0415 - optional
        except ImportError:
            raise ConfigError(
                "use_wandb: the package wandb is missing: pip install 'xeus[wandb]', "
                "or set it to false"
            ) from None
        config, id_file = exp_dir / "config.yaml", exp_dir / "wandb_id.txt"
        if not id_file.is_file():
            write_text(id_file, secrets.token_hex(8) + "\n")
        try:
            self.run = wandb.init(
                project=project or exp_dir.name, name=exp_dir.name, dir=str(exp_dir),
                id=id_file.read_text(encoding="utf-8").strip(), resume="allow",
                config=load_yaml(config) if config.is_file() else None,
                settings=wandb.Settings(console="off"),
            )  # fmt: skip
        except wandb.errors.Error as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"use_wandb: wandb cannot begin: {reason} (wandb login, or WANDB_MODE=offline)"
            ) from None
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")

    def rewind(self, step: int) -> None:
        """Nothing: see the class."""

    def add(self, row: dict[str, Any]) -> None:
        """Send every number of a row as ``<split>/<name>``."""
        figures = {f"{row['split']}/{k}": v for k, v in row.items() if k not in ("split", "step")}
        self.run.log({"step": row["step"], **figures})

    def close(self) -> None:
        """Wait until everything is sent."""
        self.run.finish()
