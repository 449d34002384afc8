"""The Hugging Face folder: config.json, preprocessor_config.json and model.safetensors."""

import os
import shutil
from pathlib import Path
from typing import Any

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.ssl.checkpoint_files import HUGGING_FACE
from espnet2.ssl.config import MODEL_TYPE, SSLModelConfig, model_keys
from espnet2.utils.config import to_dict
from espnet2.utils.files import atomic_path, write_json
from espnet2.utils.provenance import version


def save_folder(folder: Path, exported: dict[str, Any], weights: Path) -> None:
    """Write all but the model card; the weights are a second name of the file ``weights``.

    ``config.json`` has every key of the model, in the spelling of ``config.yaml``.
    """
    config = {
        **complete_keys(exported),
        "architectures": ["XeusModel"],
        "dtype": "float32",
        "model_type": MODEL_TYPE,
        "xeus_version": version("xeus"),
    }
    write_json(folder / "config.json", config)
    write_json(folder / "preprocessor_config.json", preprocessor())
    link_or_copy(weights, folder / HUGGING_FACE)


def complete_keys(exported: dict[str, Any]) -> dict[str, Any]:
    """The model's keys with every default written out; in ESPnet's new spelling, as they are."""
    part = model_keys(exported)[0]
    if "util" in part or isinstance(part.get("loss"), list):
        return part
    config = SSLModelConfig.from_espnet(part, "config.yaml")
    losses = [to_dict(loss) for loss in config.losses]
    return {
        "frontend": "wav2vec_cnn", "frontend_conf": to_dict(config.frontend),
        "normalize": None if config.normalize is None else "utterance_mvn",
        "normalize_conf": to_dict(config.normalize) or {},
        "preencoder": None if config.preencoder is None else "linear",
        "preencoder_conf": to_dict(config.preencoder) or {},
        "encoder": "e_branchformer", "encoder_conf": to_dict(config.encoder),
        "masker": "hubert", "masker_conf": to_dict(config.masker),
        **({"loss": losses[0].pop("kind"), "loss_conf": losses[0]} if losses else {}),
        "model_conf": to_dict(config.model), "init": config.init,
    }  # fmt: skip


def preprocessor() -> dict[str, Any]:
    """How audio comes in, for the extractor of ``espnet2.hf``, in the words of transformers.

    The model normalises what it was trained to normalise itself, so nothing is done before it.
    """
    return {
        "do_normalize": False,
        "feature_extractor_type": "XeusFeatureExtractor",
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
        "sampling_rate": SAMPLE_RATE_HZ,
    }


def link_or_copy(source: Path, path: Path) -> None:
    """Give ``source`` a second name, or copy it where the file system has no links.

    Neither is ever written in place.
    """
    if path.is_file() and path.samefile(source):
        return
    with atomic_path(path) as part:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
