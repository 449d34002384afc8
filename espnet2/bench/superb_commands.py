"""The commands that train a probe: a unit of our stage 11, and ESPnet's ``asr_train``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet2.asr.espnet_probe import espnet_yaml
from espnet2.bench.data_audio import SEED
from espnet2.bench.superb_data import TRACK, ProbeSet
from espnet2.train.cells import CellConfig, FinetuneConfig, cells, finetune_config
from espnet2.train.feature_units import Places, computed_unit, features_dir
from espnet2.utils.config import save_yaml, to_dict
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import read_json
from espnet2.utils.units import Unit, fingerprint, write_spec

NEVER = 10**6  # steps: no checkpoint and no validation before
ACCUM_GRAD = 4  # micro-batches of a step, as the benchmark's
LEARNING_RATE, WEIGHT_DECAY, GRAD_CLIP = 1e-4, 1e-6, 5.0
ENCODER = "encoder"  # name of the only one


@dataclass(frozen=True, kw_only=True)
class Way:
    """One of our ways to the features."""

    title: str
    """For the table."""

    features: dict[str, Any]
    """Section ``finetune.features``."""


WAYS = {
    "cached": Way(title="features kept", features={"amp": "float32", "keep": "always"}),
    "live": Way(title="encoder in each step", features={"amp": "float32", "keep": "never"}),
    "live_bf16": Way(
        title="encoder in each step, in bfloat16", features={"amp": "bfloat16", "keep": "never"}
    ),
}


def our_config(audio: ProbeSet, way: Way) -> FinetuneConfig:
    """Section ``finetune`` of our recipe: one cell, the benchmark's training, never validated."""
    size = audio.size.encoder
    section = {
        "encoders": {ENCODER: {"kind": "export"}},
        "tracks": [TRACK], "tasks": ["multi"], "learning_rates": [LEARNING_RATE],
        "features": way.features,
        "probe": to_dict(audio.size.probe),
        "batches": {"batch_s": size.batch * size.audio_s, "bucket_s": 0.5},
        "training": {
            "max_steps": NEVER, "accum_grad": ACCUM_GRAD,
            "optim_conf": {"weight_decay": WEIGHT_DECAY}, "grad_clip": GRAD_CLIP,
            "train_dtype": "float32", "num_workers": 1, "log_interval_steps": 1,
            "valid_interval_steps": NEVER, "save_interval_steps": NEVER,
            "watchdog_s": float(NEVER),  # who waits for its turn makes no step
        },
    }  # fmt: skip
    return finetune_config(section, "bench superb")


def places_of(audio: ProbeSet, name: str) -> Places:
    """Where stage 11 would find and put everything."""
    return Places(data=audio.data, export=audio.export, out=audio.folder / name)


def feature_unit(audio: ProbeSet, name: str, split: str) -> Unit:
    """The unit of stage 11 that makes the features of a split."""
    config, places = our_config(audio, WAYS[name]), places_of(audio, name)
    return computed_unit(config, ENCODER, config.encoders[ENCODER], TRACK, split, places)


def our_command(audio: ProbeSet, name: str) -> tuple[list[str], Path]:
    """The command, after the interpreter, that trains the cell; the cell's folder.

    Raises:
        ConfigError: its features are kept where they should not be, or not where they should.
    """
    config, places = our_config(audio, WAYS[name]), places_of(audio, name)
    features = features_dir(places, ENCODER, TRACK, "train")
    is_kept = bool(read_json(features / "features.json")["chunks"])
    if is_kept != (WAYS[name].features["keep"] == "always"):
        raise ConfigError(f"{features}: features are {'' if is_kept else 'not '}kept")
    cell: CellConfig = next(cells(config))
    out = places.out / ENCODER / cell.name
    unit = Unit(
        name=cell.name,
        entry="espnet2.train.finetune:run_cell",
        kwargs={"out": out, "data": places.data, "features": features.parent,
                "export": places.export, "cell": to_dict(cell)},
        marker=out / ".cell.done",
    )  # fmt: skip
    return unit_command(audio, name, unit), out


def unit_command(audio: ProbeSet, name: str, unit: Unit) -> list[str]:
    """As stage 11 starts a unit."""
    spec = write_spec(unit, fingerprint(unit), audio.folder / name / "log")
    return ["-m", "espnet2.utils.work", str(spec)]


def peer_config(audio: ProbeSet) -> dict[str, Any]:
    """ESPnet's YAML: the benchmark's, with our encoder."""
    size = audio.size.encoder
    training = {
        "optim": "adam", "optim_conf": {"lr": LEARNING_RATE, "weight_decay": WEIGHT_DECAY},
        "grad_clip": GRAD_CLIP, "accum_grad": ACCUM_GRAD,
        "batch_type": "sorted", "batch_size": size.batch,
        "train_dtype": "float32", "use_amp": False, "num_workers": 1,
        "max_epoch": 1, "num_iters_per_epoch": NEVER // 100, "log_interval": ACCUM_GRAD,
        "num_att_plot": 0, "use_tensorboard": False, "seed": SEED,
    }  # fmt: skip
    return espnet_yaml(audio.size.probe, audio.tokens, audio.checkpoint, size.width, training)


def peer_command(audio: ProbeSet) -> list[str]:
    """ESPnet's training command as stage 11 of its recipe gives it, after the interpreter."""
    folder = audio.folder / "peer"
    folder.mkdir(parents=True)
    save_yaml(folder / "train.yaml", peer_config(audio))
    command = [
        "-m", "espnet2.bin.asr_train", "--config", str(folder / "train.yaml"),
        "--use_preprocessor", "true", "--cleaner", "none", "--g2p", "none", "--resume", "true",
        "--output_dir", str(folder / "exp"),
    ]  # fmt: skip
    for part in ("train", "valid"):
        command += [
            f"--{part}_data_path_and_name_and_type", f"{audio.train / 'wav.scp'},speech,kaldi_ark",
            f"--{part}_data_path_and_name_and_type", f"{audio.train / 'text'},text,text",
            f"--{part}_shape_file", str(audio.folder / "speech_shape"),
        ]  # fmt: skip
    return command
