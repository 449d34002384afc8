"""What a finished pre-training leaves, without the training: random weights, its files."""

import torch
from tiny_dump import MODEL, NUM_CLUSTERS, TAG

from espnet2.data.plan import Plan
from espnet2.tasks.ssl import SSLTask
from espnet2.train.checkpoint import save_tensors, step_path
from espnet2.utils.config import save_yaml
from espnet2.utils.files import read_json, write_json

LOSS = {"final_dim": 8, "num_classes": NUM_CLUSTERS, "layers": [0]}
SUMMARY = {
    "step": 6, "is_complete": True, "ranks": 2,
    "valid": {"step": 6, "loss": 1.25, "masked_acc": 0.5, "majority_share": 0.25},
}  # fmt: skip
PROVENANCE = {
    "hardware": "A Processor, 2 cores, 8 GiB", "gpu": "8 x NVIDIA H100", "commit": "0123456789ab",
    "python": "3.11.7", "torch": "2.11.0", "time": "2026-01-02 03:04:05 UTC",
}  # fmt: skip


def make_run(exp, dump, steps=(2, 4, 6), **changes):
    """A run in ``exp`` on a tiny dump, with an intermediate model of each step; returns ``exp``.

    ``changes`` replace keys of its config.yaml.
    """
    config = {
        **MODEL, "loss_conf": LOSS, "max_steps": 6, "optim": "adam", "optim_conf": {"lr": 0.003},
        "train_dtype": "float32", "seed": 5,
        "labels": read_json(dump / "train/labels" / TAG / "labels.json"),
        "plan": Plan.open(dump / "train/plan").fingerprint,
    } | changes  # fmt: skip
    save_yaml(exp / "config.yaml", config)
    write_json(exp / "summary.json", SUMMARY)
    write_json(exp / "provenance.json", PROVENANCE)
    for step in steps:
        torch.manual_seed(step)
        state = SSLTask.build_model(config).state_dict()
        save_tensors(step_path(exp / "intermediate", step), {"model": state, "step": step})
    return exp
