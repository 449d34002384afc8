"""The folder ``espnet/``: a checkpoint and its ``config.yaml``, as ESPnet looks for the two.

``SSLTask.build_model_from_file(None, checkpoint)`` and the ASR task's ``frontend: espnet_ssl`` of
ESPnet are given a checkpoint alone and read the ``config.yaml`` that lies beside it.
"""

import shutil
from pathlib import Path

from espnet2.train.export.hf_folder import link_or_copy
from espnet2.utils.files import write_bytes


def save_espnet_folder(folder: Path, config: Path, model: Path) -> Path:
    """Write both under ESPnet's names; returns the checkpoint, a second name of ``model``."""
    write_bytes(folder / "config.yaml", config.read_bytes())
    checkpoint = folder / model.name
    link_or_copy(model, checkpoint)
    return checkpoint


def remove_espnet_folder(folder: Path) -> None:
    """Remove what an earlier export wrote of a model that ESPnet could load."""
    if folder.is_dir():
        shutil.rmtree(folder)
