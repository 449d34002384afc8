"""The full-size model: its numbers on the meta device, and one forward for real."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from espnet2.ssl.interop import RENAMED_KEYS, rename
from espnet2.tasks.ssl import SSLTask

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "test/golden"
XEUS = {
    "frontend": "wav2vec_cnn",
    "frontend_conf": {
        "norm_mode": "layer_norm",
        "conv_mode": "standard",
        "bias": True,
        "normalize_audio": True,
        "fs": "16k",
    },
    "preencoder": "linear",
    "preencoder_conf": {"output_size": 1024},
    "encoder": "e_branchformer",
    "encoder_conf": {
        "output_size": 1024,
        "attention_heads": 8,
        "attention_layer_type": "selfattn",
        "pos_enc_layer_type": "conv",
        "rel_pos_type": "latest",
        "cgmlp_linear_units": 4096,
        "cgmlp_conv_kernel": 31,
        "use_linear_after_conv": False,
        "gate_activation": "identity",
        "num_blocks": 19,
        "dropout_rate": 0.1,
        "positional_dropout_rate": 0.1,
        "attention_dropout_rate": 0.1,
        "input_layer": None,
        "layer_drop_rate": 0.0,
        "linear_units": 4096,
        "positionwise_layer_type": "linear",
        "macaron_ffn": True,
        "use_ffn": True,
        "merge_conv_kernel": 31,
    },
    "loss": [{"name": "hubert", "conf": {"num_classes": 2048, "final_dim": 768}}],
    "util": [{"name": "mask", "conf": {}}],
    "model": "espnet",
}


@pytest.fixture(scope="module")
def xeus():
    with torch.device("meta"):
        return SSLTask.build_model(XEUS)


def listed(layout):
    lines = (GOLDEN / f"keys_xeus_full_{layout}.txt").read_text().splitlines()
    return [tuple(line.split("\t")[:2]) for line in lines]


def test_xeus_has_the_published_number_of_parameters(xeus):
    total = sum(p.numel() for p in xeus.parameters())
    head = sum(p.numel() for p in xeus.losses.parameters())
    assert total == 576_484_736
    assert total - head - xeus.masker.mask_embedding.numel() == 574_121_600


def test_names_shapes_and_order_are_those_of_the_old_checkpoint(xeus):
    assert [(k, str(tuple(v.shape))) for k, v in xeus.state_dict().items()] == listed("old")


def test_names_and_shapes_are_those_of_the_new_checkpoint(xeus):
    ours = {(rename(k, RENAMED_KEYS), str(tuple(v.shape))) for k, v in xeus.state_dict().items()}
    assert ours | {("global_step", "(1,)")} == set(listed("new"))


FORWARD = """
import json, resource, sys
import torch
from espnet2.tasks.ssl import SSLTask

with torch.device("meta"):
    model = SSLTask.build_model(json.loads(sys.argv[1]))
model = model.to_empty(device="cpu").eval()
torch.manual_seed(0)
noise = torch.randn(2**20) * 0.03  # about 1 / sqrt(1024)
with torch.no_grad():
    for parameter in model.parameters():
        for part in parameter.view(-1).split(len(noise)):
            part.copy_(noise[: len(part)])
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.reset_parameters()
    layers = model.encode(torch.randn(1, 160_000), torch.tensor([160_000])).layers
print(json.dumps({
    "shapes": [list(x.shape) for x in layers],
    "deviations": [x.std().item() for x in layers],
    "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
}))
"""


@pytest.mark.integration
def test_ten_seconds_run_through_the_full_size_on_a_cpu_within_6_gb():
    """About 18 s on one thread (torch 2.13): 13 s of it the forward; peak 2.8 GB."""
    command = [sys.executable, "-c", FORWARD, json.dumps(XEUS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    out = json.loads(done.stdout)
    assert out["shapes"] == [[1, 499, 1024]] * 19
    assert all(0.5 < deviation < 2 for deviation in out["deviations"])  # finite, after a norm
    assert out["peak_gb"] < 6
