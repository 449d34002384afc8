"""What a model is, read from ESPnet's flat YAML keys.

Two spellings of the same model exist. The *old* one (the fork the project page names) has
``masker``/``masker_conf`` and ``loss: hubert_ce`` with ``loss_conf``; the *new* one (ESPnet >=
202412) has lists ``util: [{name: mask, conf: ...}]`` and ``loss: [{name: hubert, conf: ...}]``.
Defaults are ESPnet's where ESPnet's build a model this package supports.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from espnet2.ssl.encoder_config import EncoderConfig
from espnet2.ssl.espnet_keys import HUGGING_FACE_KEYS, MODEL_KEYS, TRAINING_KEYS
from espnet2.ssl.part_configs import (
    FrontendConfig,
    LossConfig,
    MaskConfig,
    ModelConfig,
    NormalizeConfig,
    PreencoderConfig,
)
from espnet2.utils.config import from_dict, load_yaml
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import read_json
from espnet2.utils.logs import log

# Keys of training that would make another model: features without a front end, added layers.
CHANGE_THE_MODEL = ("input_size", "use_adapter")
MODEL_TYPE = "xeus"  # ours among Hugging Face's
# Arguments of ESPnet's model that no part of it reads.
VOCABULARY = ("vocab_size", "token_list")


@dataclass(frozen=True, kw_only=True)
class SSLModelConfig:
    """A whole model."""

    frontend: FrontendConfig = field(default_factory=FrontendConfig)
    normalize: NormalizeConfig | None = None
    preencoder: PreencoderConfig | None = field(default_factory=PreencoderConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    masker: MaskConfig = field(default_factory=MaskConfig)
    losses: tuple[LossConfig, ...] = ()
    model: ModelConfig = field(default_factory=ModelConfig)
    init: Literal["xavier_uniform"] | None = None

    @classmethod
    def from_espnet(cls, data: Mapping[str, Any], where: str = "model") -> SSLModelConfig:
        """Read ESPnet's flat keys; keys of training are ignored.

        Raises:
            ConfigError: an unknown model key (with a guess), a wrong type, an unsupported choice.
        """
        part, rest = model_keys(data)
        refuse_misspelt(rest, where)
        for key in CHANGE_THE_MODEL:
            if data.get(key):
                raise ConfigError(f"{where}: {key} {data[key]!r} is not supported; leave it out")
        is_new = "util" in part or isinstance(part.get("loss"), list)
        if is_new and ("masker" in part or "masker_conf" in part):
            raise ConfigError(f"{where}: give masker/masker_conf or util, not both")
        choose(part, "frontend", ("wav2vec_cnn",), where)
        choose(part, "model", ("espnet",), where)
        choose(part, "specaug", (None,), where)
        has_preencoder = choose(part, "preencoder", ("linear", None), where) is not None
        has_normalize = choose(part, "normalize", (None, "utterance_mvn"), where) is not None
        choose(part, "encoder", ("e_branchformer",), where)
        if part.get("init") not in (None, "xavier_uniform"):
            raise ConfigError(f"{where}: init must be xavier_uniform or null, got {part['init']!r}")
        part["model_conf"] = without(part.get("model_conf"), VOCABULARY)
        model = section(ModelConfig, part, "model_conf", where)
        return cls(
            frontend=section(FrontendConfig, part, "frontend_conf", where),
            normalize=section(NormalizeConfig, part, "normalize_conf", where)
            if has_normalize
            else None,
            preencoder=(
                section(PreencoderConfig, part, "preencoder_conf", where)
                if has_preencoder
                else None
            ),
            encoder=section(EncoderConfig, part, "encoder_conf", where),
            masker=new_mask(part, where) if is_new else old_mask(part, where),
            losses=new_losses(part, where) if is_new else old_losses(part, where),
            model=with_layout_defaults(model, is_new),
            init=part.get("init"),
        )


def config_beside(path: Path | str) -> Path:
    """The YAML of a checkpoint: config.yaml in its folder or the one above, or the only YAML there.

    ESPnet's folders keep it beside the checkpoint, our experiments one above; a Hugging Face folder
    has a config.json of ``model_type: xeus``.

    Raises:
        ConfigError: there is none, or there are several of other names.
    """
    folder = Path(path).absolute().parent
    for place in (folder, folder.parent):
        for name in ("config.yaml", "config.yml"):
            if (place / name).is_file():
                return place / name
        json = place / "config.json"
        if json.is_file() and load_config(json).get("model_type") == MODEL_TYPE:
            return json
    found = sorted(p for p in folder.glob("*") if p.suffix in (".yaml", ".yml") and p.is_file())
    if len(found) == 1:
        log(f"{found[0]} is the only YAML beside the checkpoint and taken for its configuration")
        return found[0]
    there = f"; there are {', '.join(p.name for p in found)}" if found else ""
    raise ConfigError(
        f"{path}: no config.yaml beside it{there}; put it there, or say which YAML it is"
    )


def load_config(path: Path) -> dict[str, Any]:
    """The keys of a model's YAML, or of a Hugging Face folder's config.json.

    Raises ConfigError where it holds no keys.
    """
    if path.suffix != ".json":
        return load_yaml(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such configuration file")
    data = read_json(path)  # YAML would read JSON's 1e-05 as text
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a mapping, got a {type(data).__name__}")
    return data


def model_keys(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """ESPnet's flat keys as (those that define the model, all others)."""
    part = {key: value for key, value in data.items() if key in MODEL_KEYS}
    return part, {key: value for key, value in data.items() if key not in MODEL_KEYS}


def refuse_misspelt(rest: Mapping[str, Any], where: str) -> None:
    """Refuse a key that looks like a model's; name other unknown ones in the log."""
    known = TRAINING_KEYS | HUGGING_FACE_KEYS
    unknown = sorted(str(key) for key in rest if key not in known)
    for key in unknown:
        near = difflib.get_close_matches(key, MODEL_KEYS, n=1, cutoff=0.8)
        if near:
            raise ConfigError(f"{where}: {key} is not a known key; did you mean '{near[0]}'?")
    if unknown:
        log(f"{where}: keys that do not define the model are ignored: {', '.join(unknown)}")


def choose(part: Mapping[str, Any], key: str, choices: tuple, where: str) -> str | None:
    """The value of ``key`` (first choice if absent), refused by name if unsupported."""
    value = part.get(key, choices[0])
    if value not in choices:
        names = " or ".join(str(choice) for choice in choices)
        raise ConfigError(f"{where}: {key} {value!r} is not supported; it must be {names}")
    return value


def without(conf: Any, keys: tuple[str, ...]) -> Any:
    """``conf`` without ``keys``; what is no mapping stays, for ``section`` to refuse."""
    if not isinstance(conf, dict):
        return conf
    return {key: value for key, value in conf.items() if key not in keys}


def section(cls: type, part: Mapping[str, Any], key: str, where: str) -> Any:
    """``part[key]`` (absent or null: empty) as the dataclass ``cls``."""
    return from_dict(cls, part.get(key) or {}, f"{where}: {key}")


def with_layout_defaults(model: ModelConfig, is_new: bool) -> ModelConfig:
    """Fill in what the two spellings leave to different code."""
    grad_mult, penalty = (1.0, 0.0) if is_new else (0.1, 10.0)
    if model.feature_grad_mult is None:
        model = replace(model, feature_grad_mult=grad_mult)
    if model.feature_penalty_weight is None:
        model = replace(model, feature_penalty_weight=penalty)
    return model


def old_mask(part: Mapping[str, Any], where: str) -> MaskConfig:
    """The old spelling's ``masker_conf``."""
    choose(part, "masker", ("hubert",), where)
    return section(MaskConfig, part, "masker_conf", where)


def new_mask(part: Mapping[str, Any], where: str) -> MaskConfig:
    """The new spelling's ``util: [{name: mask, conf: {...}}]``."""
    entries = named_entries(part.get("util", [{"name": "mask"}]), f"{where}: util")
    if [name for name, _ in entries] != ["mask"]:
        names = [name for name, _ in entries]
        raise ConfigError(f"{where}: util must be one entry named mask, got {names}")
    # ESPnet writes the encoder's width here and never reads it.
    conf = without(entries[0][1], ("encoder_embed_dim",))
    return from_dict(MaskConfig, conf, f"{where}: util: mask")


def old_losses(part: Mapping[str, Any], where: str) -> tuple[LossConfig, ...]:
    """The old spelling's ``loss`` and ``loss_conf``; none given: a model without a loss."""
    if not part.get("loss_conf"):
        return ()
    kind = choose(part, "loss", ("hubert_ce", "hubert"), where)
    return (from_dict(LossConfig, {**part["loss_conf"], "kind": kind}, f"{where}: loss_conf"),)


def new_losses(part: Mapping[str, Any], where: str) -> tuple[LossConfig, ...]:
    """The new spelling's ``loss`` list; its ``hubert`` is the linear head of ``hubert_ce``."""
    losses = []
    for name, conf in named_entries(part.get("loss") or [], f"{where}: loss"):
        if name not in ("hubert", "hubert_ce"):
            raise ConfigError(f"{where}: loss {name!r} is not supported; it must be hubert")
        conf = dict(conf)
        if conf.pop("loss_type", "cross_entropy") != "cross_entropy":
            raise ConfigError(f"{where}: loss: loss_type must be cross_entropy")
        if "loss_weights" in conf:
            conf["layer_weights"] = conf.pop("loss_weights")
        losses.append(from_dict(LossConfig, {**conf, "kind": "hubert_ce"}, f"{where}: loss"))
    return tuple(losses)


def named_entries(entries: Any, where: str) -> list[tuple[str, dict[str, Any]]]:
    """[{name, conf}, ...] as pairs."""
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and "name" in entry for entry in entries
    ):
        raise ConfigError(
            f"{where} must be a list of {{name: ..., conf: {{...}}}}, got {entries!r}"
        )
    return [(entry["name"], entry.get("conf") or {}) for entry in entries]
