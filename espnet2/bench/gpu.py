"""What a GPU makes of XEUS: ceilings, four micro-benchmarks, training step, encoding, labels.

Hours on a large GPU are few, so nothing here ends the run: what fails is a row that says why, and
every row is in the log as soon as it is known. On a CPU with --tiny it only proves that it works.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import torch
from torch._dynamo import config as compiler_config

from espnet2.bench.gpu_label import label
from espnet2.bench.gpu_micro import ceilings, sdpa
from espnet2.bench.gpu_parts import depthwise, layer, stem
from espnet2.bench.gpu_step import encode, step
from espnet2.bench.table import Table
from espnet2.bench.timing import Setup, attempt
from espnet2.ssl.config import SSLModelConfig, model_keys
from espnet2.train.config import TrainConfig, train_config
from espnet2.utils.cli import positive
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import XeusError
from espnet2.utils.peaks import peak_of
from espnet2.utils.provenance import CONF

# The order is that of a run: what decides most comes first, in case the time runs out.
BENCHMARKS = {
    "ceilings": ceilings,
    "sdpa": sdpa,
    "step": step,
    "depthwise": depthwise,
    "stem": stem,
    "layer": layer,
    "encode": encode,
    "label": label,
}
XEUS = CONF / "pretrain/xeus.yaml"
TINY_SHAPES = ((8, 10, 5), *((8, 3, 2),) * 4, *((8, 2, 2),) * 2)
TINY_ENCODER = {
    "output_size": 32,
    "attention_heads": 2,
    "num_blocks": 2,
    "cgmlp_linear_units": 64,
    "linear_units": 64,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench gpu``."""
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"),
                        help="what to measure (default: cuda)")  # fmt: skip
    parser.add_argument(
        "--only", action="append", choices=BENCHMARKS, metavar="PART",
        help=f"one of {', '.join(BENCHMARKS)}; may be given again (default: all)",
    )  # fmt: skip
    parser.add_argument("--tiny", action="store_true", help="sizes for a CPU, to try the script")
    parser.add_argument(
        "--compile", action="store_true",
        help="with --tiny: torch.compile too; without --tiny it is always tried",
    )  # fmt: skip
    parser.add_argument(
        "--conf", type=Path, default=XEUS, metavar="FILE",
        help="YAML of model and training (default: conf/pretrain/xeus.yaml)",
    )  # fmt: skip
    parser.add_argument(
        "--budget_s", type=positive, default=400, metavar="S",
        help="seconds after which no row is begun (default: 400)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> list[Table]:
    """Every benchmark that was asked for.

    Raises:
        XeusError: there is no such device, or a CPU was asked for XEUS in its full size.
        ConfigError: ``args.conf`` cannot be used.
    """
    setup = build_setup(args)
    if setup.device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # as training does
    # Past its limit the compiler would go on uncompiled, and nobody would know.
    with compiler_config.patch(fail_on_recompile_limit_hit=True):
        return [benchmark(setup, name) for name in args.only or BENCHMARKS]


def benchmark(setup: Setup, name: str) -> Table:
    """One benchmark's table; where it cannot even begin, a table that says so."""

    def begin() -> Table:
        torch.manual_seed(0)
        return BENCHMARKS[name](setup)

    table = attempt(setup, begin)
    if isinstance(table, Table):
        return table
    return Table(title=name, columns=("result",), rows=((table,),))


def build_setup(args: argparse.Namespace) -> Setup:
    """Device, model and limits of a run."""
    if args.device == "cuda" and not torch.cuda.is_available():
        raise XeusError(
            "bench gpu: there is no CUDA device here; run it where one is, or try the script with "
            "--device cpu --tiny"
        )
    if args.device == "cpu" and not args.tiny:
        raise XeusError("bench gpu: XEUS in its full size would take hours on a CPU; add --tiny")
    device = torch.device(args.device)
    model, train = configs(args.conf, args.tiny)
    return Setup(
        device=device,
        peak=peak_of(torch.cuda.get_device_name()) if device.type == "cuda" else None,
        model=model,
        train=train,
        is_tiny=args.tiny,
        can_compile=args.compile or not args.tiny,
        deadline=time.monotonic() + args.budget_s,
    )


def configs(conf: Path, is_tiny: bool) -> tuple[SSLModelConfig, TrainConfig]:
    """Model and training of a pre-training YAML, in its last phase; tiny: the same, narrow."""
    part, rest = model_keys(load_yaml(conf))
    rest.pop("mix", None)  # of audio; nothing is mixed here
    train = train_config(rest, str(conf))
    train = dataclasses.replace(train, phases=(dataclasses.replace(train.phases[-1], until=None),))
    if is_tiny:
        part = {
            **part,
            "frontend_conf": {**part.get("frontend_conf", {}), "shapes": TINY_SHAPES},
            "preencoder_conf": {"output_size": TINY_ENCODER["output_size"]},
            "encoder_conf": {**part.get("encoder_conf", {}), **TINY_ENCODER},
            "loss_conf": {"num_classes": 16, "final_dim": 16, "layers": [1]},
        }
    return SSLModelConfig.from_espnet(part, str(conf)), train
