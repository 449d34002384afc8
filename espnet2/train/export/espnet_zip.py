"""A model zip of ESPnet: what ``espnet2.bin.pack ssl`` makes and ``pack_funcs.unpack`` reads.

``meta.yaml`` names the files of the archive under the names ``ssl_train_config`` and
``ssl_model_file``; nothing is compressed.
"""

import io
import platform
import shutil
import zipfile
from pathlib import Path

import torch
import yaml

from espnet2.utils.config import load_yaml
from espnet2.utils.errors import CheckpointError
from espnet2.utils.files import atomic_path

ESPNET_VERSION = "202511"  # whose YAML keys config_new.yaml has
CONFIG, MODEL = "ssl_train_config", "ssl_model_file"
FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the first that zip knows; provenance.json says when
FIXED_TIMESTAMP = 315_532_800.0  # the same
READABLE = 0o644 << 16


def pack(path: Path, folder: str, config: Path, model: Path) -> None:
    """Write the archive, in which both files lie in ``folder``; equal content gives equal bytes."""
    names = {CONFIG: f"{folder}/config.yaml", MODEL: f"{folder}/{model.name}"}
    meta = {
        "espnet": ESPNET_VERSION,
        "files": {MODEL: names[MODEL]},
        "python": platform.python_version(),
        "timestamp": FIXED_TIMESTAMP,
        "torch": str(torch.__version__),
        "yaml_files": {CONFIG: names[CONFIG]},
    }
    with atomic_path(path) as part, zipfile.ZipFile(part, "w") as archive:
        add(archive, "meta.yaml", io.BytesIO(yaml.safe_dump(meta).encode()))
        for name, source in ((names[CONFIG], config), (names[MODEL], model)):
            with open(source, "rb") as file:
                add(archive, name, file)


def add(archive: zipfile.ZipFile, name: str, source: io.BufferedIOBase) -> None:
    """Copy a file into the archive, of any size, under a fixed date."""
    entry = zipfile.ZipInfo(name, FIXED_DATE)
    entry.external_attr = READABLE
    entry.file_size = source.seek(0, io.SEEK_END)
    source.seek(0)
    with archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target, 2**20)


def unpack(path: Path, folder: Path) -> tuple[Path, Path]:
    """Configuration and checkpoint of an archive, unpacked into ``folder``.

    Raises:
        CheckpointError: meta.yaml names a file that the archive does not hold.
    """
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    meta = load_yaml(folder / "meta.yaml")
    found = folder / meta["yaml_files"][CONFIG], folder / meta["files"][MODEL]
    for file in found:
        if not file.is_file():
            raise CheckpointError(f"{path}: meta.yaml names {file.name}, which is not in it")
    return found
