"""Runs as processes that tests kill, and comparisons of what such runs left.

A fork server has imported torch once; each run is a process of its own, forked from it.
"""

import multiprocessing
import os
import socket
import sys
import time

import torch
from tiny_dump import TAG

from espnet2.data.dataset import PretrainBatches
from espnet2.train.checkpoint import load_tensors, saved_steps, step_path
from espnet2.train.metrics import read_metrics
from espnet2.train.pretrain import pretrain
from espnet2.utils.cli import exit_status

CONTEXT = multiprocessing.get_context("forkserver")
# What takes a second to import: the run, torch's optimisers (in their first step), the curves.
CONTEXT.set_forkserver_preload(["espnet2.train.pretrain", "torch._dynamo", "matplotlib.pyplot"])
COMPARED = (
    "split", "step", "lr", "loss", "masked_acc", "unmasked_acc", "grad_norm", "skipped",
    "label_entropy", "prediction_entropy", "majority_share", "times_majority",
)  # fmt: skip
PATIENCE_S = 120


def pretrain_process(conf, overrides, dump, exp, place=None):
    """A real pre-training; ``place``: (rank, ranks, port) of one rank among several."""
    process = CONTEXT.Process(target=run, args=(conf, overrides, dump, exp, place))
    process.start()
    return process


def run(conf, overrides, dump, exp, place):
    """In the process: as ``bin.pretrain`` does as a rank; what it says goes to a file."""
    log = os.open(log_path(conf, exp), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stderr.fileno())
    if place:
        names = ("RANK", "WORLD_SIZE", "MASTER_PORT")
        os.environ |= {"MASTER_ADDR": "127.0.0.1", **dict(zip(names, map(str, place), strict=True))}
    write_down_utterances(utterances_path(conf, exp))
    overrides = [f"pretrain.{one}" for one in overrides]
    sys.exit(exit_status(lambda: pretrain(conf, overrides, dump, TAG, exp, 0) and None))


def write_down_utterances(path):
    """From now on training writes the step and the ids of its rows to ``path``."""
    loader = PretrainBatches.loader

    def noted(self, start, stop, num_workers=0):
        for step, batches in enumerate(loader(self, start, stop, num_workers), start):
            ids = [utt_id for batch in batches for utt_id in batch["utt_ids"]]
            with open(path, "a") as file:
                file.write(f"{self.plan.folder.parent.name} {self.rank} {step} {' '.join(ids)}\n")
            yield batches

    PretrainBatches.loader = noted


def log_path(conf, exp):
    """Where the run in ``exp`` says what it does: beside the recipe, on a disk with space."""
    return conf.with_name(f"{exp.name}.log")


def utterances_path(conf, exp):
    """Where it writes down what it trains on."""
    return conf.with_name(f"{exp.name}.utterances")


def utterances(conf, exp):
    """Step -> the ids of its rows in the order of the plan, whichever rank had them."""
    by_step = {}
    for line in utterances_path(conf, exp).read_text().splitlines():
        name, rank, step, *ids = line.split()
        if name == "train":
            by_step.setdefault(int(step), {})[int(rank)] = ids
    return {
        step: [utt_id for row in zip(*(ranks[rank] for rank in sorted(ranks)), strict=True)
               for utt_id in row]
        for step, ranks in by_step.items()
    }  # fmt: skip


def finish(process):
    """Wait for the end; the exit status."""
    process.join(PATIENCE_S)
    assert process.exitcode is not None, "the run does not come to an end"
    return process.exitcode


def until(condition, process):
    """Wait until ``condition()``; the process must live until then."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.is_alive(), "the run ended by itself"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.001)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def final(exp):
    """The newest complete state, without what clocks and settings say."""
    folder = exp / "checkpoints"
    state = load_tensors(step_path(folder, saved_steps(folder)[-1]))
    return {name: state[name] for name in ("model", "optimizer", "scheduler", "step", "shift")}


def rows(exp):
    """The metrics without those of clocks and machines."""
    return [
        {name: row[name] for name in COMPARED if name in row}
        for row in read_metrics(exp / "metrics.jsonl")
    ]


def assert_equal(one, other, where=""):
    """The same bits in every leaf."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_equal(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for i, pair in enumerate(zip(one, other, strict=True)):
            assert_equal(*pair, f"{where}[{i}]")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where
