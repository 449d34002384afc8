"""What lies in a Hugging Face model folder: its kind, and the files that decide its frames.

Only JSON and file names are read here, so that a fingerprint of the folder costs no import.
"""

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

from espnet2.utils.errors import ConfigError
from espnet2.utils.files import sha256_file

CONFIG = "config.json"
AUDIO_CONFIGS = ("preprocessor_config.json", "processor_config.json")  # either says the same
# In the order in which transformers prefers them; an index names the parts of a large model.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
LFS_POINTER = b"version https://git-lfs"  # what git leaves where git-lfs is not installed


def model_files(folder: Path) -> list[Path]:
    """The files whose content decides the frames: configurations, then weights.

    Raises:
        ConfigError: no such folder, or a file of it is missing; with the command that fetches it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(f"{where(folder)}: no such folder; {fetch_hint(folder)}")
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{where(folder)}: has no {CONFIG}; {fetch_hint(folder)}")
    audio = [folder / name for name in AUDIO_CONFIGS if (folder / name).is_file()]
    if not audio:
        raise ConfigError(
            f"{where(folder)}: has no {AUDIO_CONFIGS[0]}, which says how audio is normalised; "
            f"{fetch_hint(folder)}"
        )
    return [folder / CONFIG, *audio, *weight_files(folder)]


def weight_files(folder: Path) -> list[Path]:
    """The files with the weights, safetensors first."""
    found = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if found is None:
        raise ConfigError(f"{where(folder)}: has no {WEIGHTS[0]}; {fetch_hint(folder)}")
    files = [found]
    if found.suffix == ".json":
        parts = read_json(found).get("weight_map")
        if not isinstance(parts, dict) or not parts:
            raise ConfigError(f"{found}: has no weight_map, which names the parts; fetch it again")
        files = [folder / name for name in sorted(set(parts.values()))]
    for file in files:
        if not file.is_file():
            raise ConfigError(f"{where(folder)}: {file.name} is missing; {fetch_hint(folder)}")
        with open(file, "rb") as opened:
            if opened.read(len(LFS_POINTER)) == LFS_POINTER:
                raise ConfigError(
                    f"{file}: is a git-lfs pointer, not the weights; run 'git lfs pull' there"
                )
    return files


def weights_sha256(folder: Path) -> str:
    """Hash of the weights, of all parts in their order; where the folder lies does not matter."""
    hashes = [sha256_file(file) for file in weight_files(folder)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def model_type(folder: Path) -> str:
    """The kind of model that config.json names, such as ``hubert``."""
    kind = read_json(folder / CONFIG).get("model_type")
    if not isinstance(kind, str):
        raise ConfigError(f"{folder / CONFIG}: names no model_type; is it a transformers model?")
    return kind


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds a mapping."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold a mapping")
    return values


def where(folder: Path) -> str:
    """How errors name the folder."""
    return f"Hugging Face model {folder}"


def fetch_hint(folder: Path) -> str:
    """How to get the whole folder; nothing is ever fetched from here."""
    place = shlex.quote(str(folder))
    return f"fetch the model once: hf download OWNER/NAME --local-dir {place}"
