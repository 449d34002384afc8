"""Tiny cells whose encoder learns, in a module that a process of its own can import."""

import importlib.util
from pathlib import Path

from espnet2.asr.config import BatchConfig, EncoderSpec, FeatureConfig, ProbeConfig, TuneConfig
from espnet2.asr.features import write_features
from espnet2.train import finetune
from espnet2.train.cells import CellConfig
from espnet2.train.checkpoint import load_tensors

SPEC = importlib.util.spec_from_file_location(
    "tiny_asr_for_tuning", Path(__file__).parents[1] / "asr" / "tiny_asr.py"
)
tiny_asr = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny_asr)
LORA = TuneConfig(encoder="lora", lora_rank=2, encoder_lr=1e-3, freeze_steps=2)
FULL = TuneConfig(encoder="full", encoder_lr=1e-3, freeze_steps=1, unfreeze_interval_steps=1)


def write_all(folder, config, out):
    """Three splits and their features."""
    for split, count in (("train", 4), ("dev", 2), ("test", 2)):
        data = folder / "dump/10min" / split
        if not data.exists():
            tiny_asr.make_split(data, count)
        spec = EncoderSpec(kind="export")
        write_features(data, spec, folder / "export", config, "cpu", out / f"10min_{split}")


def cell_of(tune=FULL, workers=0, steps=6, keep="never"):
    return CellConfig(
        encoder_name="tuned", encoder=EncoderSpec(kind="export"), task="joint", track="10min",
        learning_rate=0.003, seed=1, corpora=[], tune=tune,
        features=FeatureConfig(keep=keep, amp="float32"),
        probe=ProbeConfig(
            conv_channels=4, output_size=16, attention_heads=2, linear_units=16, num_blocks=1
        ),
        batches=BatchConfig(batch_s=4),
        training={
            "max_steps": steps, "valid_interval_steps": 2, "save_interval_steps": 1,
            "num_workers": workers, "train_dtype": "float32",
        },
        average_best=2,
    )  # fmt: skip


def run(place, name, **how):
    out = place / "out/tuned" / name
    cell = cell_of(**how)
    finetune.run_cell(out, place / "dump", out.parent / "features", place / "export", cell)
    return load_tensors(out / "model.pth")
