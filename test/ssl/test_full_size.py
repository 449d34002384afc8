"""The full-size model, without its memory."""

from pathlib import Path

import pytest
import torch

from espnet2.ssl.initialize import xavier_uniform
from espnet2.ssl.interop import RENAMED_KEYS, rename
from espnet2.tasks.ssl import SSLTask

GOLDEN = Path(__file__).parent.parent / "golden"
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


def test_xavier_initialisation_gives_the_references_statistics():
    torch.manual_seed(0)
    model = SSLTask.build_model({"encoder_conf": {"output_size": 32, "num_blocks": 1}})
    xavier_uniform(model)
    state = model.state_dict()
    bound = {  # largest possible value: sqrt(6 / (fan_in + fan_out))
        "encoder.embed.0.conv.weight_g": (6 / 256) ** 0.5,
        "encoder.embed.0.conv.weight_v": (6 / (128 * 34)) ** 0.5,
        "encoder.encoders.0.attn.linear_q.weight": (6 / 64) ** 0.5,
        "frontend.layers.1.conv.weight": (6 / (3 * 1024)) ** 0.5,
    }
    for name, most in bound.items():
        assert 0.9 * most < state[name].abs().max() <= most, name
    assert state["encoder.embed.0.conv.weight_g"].min() < 0
    gate = "encoder.encoders.0.cgmlp.csgu.conv"
    assert state[f"{gate}.weight"].std() == pytest.approx(1e-6, rel=0.2)
    assert (state[f"{gate}.bias"] == 1).all()
    assert (state["encoder.encoders.0.norm_mha.weight"] == 1).all()
    zero = [k for k in state if k.endswith(".bias") and gate not in k]
    assert all((state[k] == 0).all() for k in zero)
    assert state["masker.mask_embedding"].min() >= 0
    assert state["masker.mask_embedding"].max() < 1
