"""ESPnet's two layouts: ``config.yaml`` and ``config_new.yaml`` with a checkpoint each."""

from pathlib import Path
from typing import Any

from espnet2.data.export_kaldi import espnet_tokens
from espnet2.ssl.config import SSLModelConfig, model_keys
from espnet2.ssl.espnet_yaml import espnet_yaml
from espnet2.utils.config import save_yaml
from espnet2.utils.errors import ConfigError
from espnet2.utils.logs import log

LAYOUTS = ("old", "new")
MODELS = {layout: f"xeus_checkpoint_{layout}.pth" for layout in LAYOUTS}


def exported_config(trained: dict[str, Any], num_classes: int) -> dict[str, Any]:
    """The keys that define the model, and the token list that ESPnet's own loader asks for."""
    model, _ = model_keys(trained)
    tokens = espnet_tokens(num_classes)
    return {**model, "token_type": "word", "token_list": tokens, "seed": trained.get("seed", 0)}


def save_new_config(path: Path, exported: dict[str, Any]) -> bool:
    """Write ``config.yaml`` as ESPnet from PyPI reads it, or say why there is none: False."""
    model, rest = model_keys(exported)
    try:
        new = espnet_yaml(SSLModelConfig.from_espnet(model, "config.yaml"))
    except ConfigError as error:
        path.unlink(missing_ok=True)
        why = "; ".join(str(error).splitlines())
        log(
            f"ESPnet from PyPI cannot load this model; {path}, a folder and a zip for it are left "
            f"out: {why}"
        )
        return False
    save_yaml(path, {**new, **rest})
    return True
