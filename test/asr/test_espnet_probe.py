"""The probe as ESPnet knows it; ``test/peer`` holds it against ESPnet itself."""

from dataclasses import replace

import pytest
import torch

from espnet2.asr.config import ProbeConfig
from espnet2.asr.ctc_model import CTCModel
from espnet2.asr.espnet_probe import NEVER, espnet_state, espnet_yaml
from espnet2.utils.errors import ConfigError

TOKENS = ["<blank>", "<unk>", "<space>", "A", "[", "[dan]", "[fra]"]
PUBLISHED = {  # egs2/ml_superb of ESPnet, train_asr_s3prl_10min.yaml
    "encoder": "transformer",
    "encoder_conf": {
        "output_size": 256, "attention_heads": 8, "linear_units": 1024, "num_blocks": 2,
        "dropout_rate": 0.1, "positional_dropout_rate": 0.1, "attention_dropout_rate": 0.1,
        "input_layer": "conv2d2", "normalize_before": True,
    },
    "decoder": None,
    "freeze_param": ["frontend.upstream"],
    "preencoder": "linear",
    "preencoder_conf": {"input_size": 1024, "output_size": 80},
    "normalize": "utterance_mvn",
    "init": None,
    "batch_type": "sorted", "batch_size": 8, "accum_grad": 4, "num_iters_per_epoch": 10000,
    "max_epoch": 30, "keep_nbest_models": 5, "patience": None,
    "optim": "adam", "optim_conf": {"lr": 0.0001, "weight_decay": 1e-6},
    "specaug": "specaug",
    "specaug_conf": {
        "apply_time_warp": True, "time_warp_window": 5, "time_warp_mode": "bicubic",
        "apply_freq_mask": True, "freq_mask_width_range": [0, 27], "num_freq_mask": 2,
        "apply_time_mask": True, "time_mask_width_ratio_range": [0.0, 0.05], "num_time_mask": 10,
    },
}  # fmt: skip


def test_the_yaml_of_the_default_probe_is_the_benchmarks():
    keys = espnet_yaml(ProbeConfig(), TOKENS, "xeus.pth", 1024)
    assert {name: keys[name] for name in PUBLISHED} == PUBLISHED
    assert keys["model_conf"]["ctc_weight"] == 1.0
    assert keys["token_list"] == [*TOKENS, "<sos/eos>"]
    assert keys["non_linguistic_symbols"] == ["[dan]", "[fra]"]


def test_training_may_differ_from_the_benchmarks():
    keys = espnet_yaml(ProbeConfig(), TOKENS, "x.pth", 9, {"accum_grad": 1, "max_epoch": 2})
    assert (keys["accum_grad"], keys["max_epoch"], keys["batch_size"]) == (1, 2, 8)


def test_losses_of_earlier_blocks_have_espnets_keys():
    probe = ProbeConfig(num_blocks=4, interctc_layers=[1, 3], interctc_weight=0.3)
    probe = replace(probe, lid_weight=0.15, lid_layer=2, self_conditioned=True)
    keys = espnet_yaml(probe, TOKENS, "x.pth", 9)
    assert keys["encoder_conf"]["interctc_layer_idx"] == [1, 2, 3]
    assert keys["encoder_conf"]["interctc_use_conditioning"]
    assert keys["model_conf"]["interctc_weight"] == pytest.approx(0.45)
    assert keys["model_conf"]["aux_ctc"] == {"2": "lid"}
    assert keys["aux_ctc_tasks"] == ["lid"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_channels": 32}, "as many channels as .* 256; conv_channels is 32"),
        ({"interctc_layers": [1], "lid_weight": 0.5, "interctc_weight": 0.2}, "block 1 has lid_w"),
    ],
)
def test_what_espnet_does_not_have_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        espnet_yaml(replace(ProbeConfig(), **changes), TOKENS, "x.pth", 9)


def test_weights_have_espnets_names_and_one_token_more():
    probe = ProbeConfig(
        projection=9, output_size=8, attention_heads=2, linear_units=6, interctc_layers=[1],
        self_conditioned=True,
    )  # fmt: skip
    model = CTCModel(probe, num_layers=3, input_size=5, num_tokens=4)
    state = espnet_state(model)
    assert state["frontend.featurizer.weights"].shape == (3,)
    q, k, v = (state[f"encoder.encoders.1.self_attn.linear_{n}.weight"] for n in "qkv")
    assert torch.equal(torch.cat([q, k, v]), model.transformer.blocks[1].attention.qkv.weight)
    assert torch.equal(state["ctc.ctc_lo.weight"][:4], model.output.weight)
    assert (state["ctc.ctc_lo.weight"][4] == 0).all()
    assert state["ctc.ctc_lo.bias"][4] == NEVER
    assert state["encoder.conditioning_layer.weight"].shape == (8, 5)
    # A position of the flattened convolution: theirs counts channels first, ours widths.
    ours, theirs = model.subsampling.out.weight, state["encoder.embed.out.0.weight"]
    width = ours.shape[1] // 8
    assert torch.equal(theirs[:, 3 * width + 1], ours[:, 1 * 8 + 3])
    count = sum(tensor.numel() for tensor in state.values())
    assert count == sum(p.numel() for p in CTCModel(probe, 3, 5, 5).parameters())
