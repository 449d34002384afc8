"""``SSLTask``: build a model, or load a released or self-trained one."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from espnet2.ssl.checkpoint_files import kind_of, weights_file
from espnet2.ssl.config import SSLModelConfig, config_beside, load_config
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.factory import build_model
from espnet2.ssl.interop import load_model
from espnet2.utils.errors import ConfigError


class SSLTask:
    """The door that ESPnet's users know."""

    @staticmethod
    def build_model(config: Mapping[str, Any] | Namespace) -> ESPnetSSLModel:
        """A freshly initialised model, in train mode, from ESPnet's flat keys.

        Raises ConfigError on an unknown or unsupported key.
        """
        data = vars(config) if isinstance(config, Namespace) else config
        return build_model(SSLModelConfig.from_espnet(data))

    @staticmethod
    def build_model_from_file(
        config_file: Path | str | None = None,
        model_file: Path | str | None = None,
        device: str | torch.device = "cpu",
        *,
        config: Path | str | None = None,
        ckpt: Path | str | None = None,
        allow_partial: bool = False,
    ) -> tuple[ESPnetSSLModel, Namespace]:
        """Load a checkpoint; gives the model in **eval** mode and the YAML's keys.

        ``model_file`` may be a Hugging Face folder, as stage 9 writes it: its model.safetensors and
        config.json are read. Call ``model.train()`` to fine-tune. ``config`` and ``ckpt`` are the
        project page's names for ``config_file`` and ``model_file``. Without a config,
        ``config.yaml`` beside the checkpoint or one folder above is read. Both released layouts
        are recognised by their keys. ``allow_partial``: tensors may be missing (they are
        initialised) or unknown (they are left out); the log names each.

        Raises:
            ConfigError: no checkpoint named, an argument given twice, a device that is not there,
                a YAML that cannot be used.
            CheckpointError: a checkpoint that cannot be read or does not match every key.
        """
        path = one_of("model_file", model_file, "ckpt", ckpt)
        if path is None:
            raise ConfigError("build_model_from_file: give the checkpoint as model_file or ckpt")
        path = weights_file(path)
        kind_of(path)  # a missing or foreign file is a better message than a missing YAML
        device = usable_device(device)
        yaml_path = one_of("config_file", config_file, "config", config)
        yaml_path = config_beside(path) if yaml_path is None else Path(yaml_path)
        args = load_config(yaml_path)
        model_config = SSLModelConfig.from_espnet(args, str(yaml_path))
        return load_model(model_config, path, device, allow_partial), Namespace(**args)


def usable_device(name: str | int | torch.device) -> torch.device:
    """The device of that name.

    Raises ConfigError where it is misspelt or this machine or this torch has none.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device {name!r} is not a device; give cpu, cuda or cuda:0") from None
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        found = f"{count or 'no'} CUDA device{'s' * (count > 1)}"
        raise ConfigError(f"device {name}: torch finds {found} here; give cpu or another one")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ConfigError(f"device {name}: this torch cannot use it here; give cpu") from None
    return device


def one_of(name: str, value: Any, alias: str, alias_value: Any) -> Any:
    """The one of two spellings of an argument that was given."""
    if value is not None and alias_value is not None:
        raise ConfigError(f"build_model_from_file: {name} and {alias} are the same; give one")
    return alias_value if value is None else value
