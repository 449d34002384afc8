"""The files of an encoder, found or missed before anything is loaded. No torch up here."""

from pathlib import Path

from espnet2.asr.config import EncoderSpec
from espnet2.tokens.teachers import hf_folder
from espnet2.utils.errors import ConfigError

CHECKPOINTS = ("xeus_checkpoint_new.pth", "xeus_checkpoint_old.pth")


def model_files(spec: EncoderSpec, export: Path | None) -> tuple[Path, Path | None]:
    """Configuration and checkpoint of one of our models; random has no checkpoint.

    Raises:
        ConfigError: one is missing.
    """
    if spec.kind == "checkpoint":
        if not spec.path.is_file():
            raise ConfigError(f"encoder of kind checkpoint: {spec.path}: no such file")
        from espnet2.ssl.config import config_beside  # brings torch, which takes seconds

        return config_beside(spec.path), spec.path
    folder = spec.path or export
    if folder is None:
        raise ConfigError(f"encoder of kind {spec.kind} needs an export folder: give --export")
    return folder / "config.yaml", checkpoint_in(folder) if spec.kind == "export" else None


def checkpoint_in(folder: Path) -> Path:
    """The checkpoint of an export folder."""
    found = [folder / name for name in CHECKPOINTS if (folder / name).is_file()]
    if not found:
        raise ConfigError(
            f"{folder} holds none of {', '.join(CHECKPOINTS)}; export a model first, or name its "
            "folder with --export"
        )
    return found[0]


def encoder_files(spec: EncoderSpec, export: Path | None) -> list[Path]:
    """The files that decide the encoder's features: configurations, then weights.

    Raises:
        ConfigError: one is missing.
    """
    if spec.kind == "fbank":
        return []
    if spec.kind == "hf":
        return hf_folder.model_files(spec.path)
    return [path for path in model_files(spec, export) if path is not None]
