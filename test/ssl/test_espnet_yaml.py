"""The YAML for ESPnet from PyPI: what it says, and what it refuses to say.

Real ESPnet reads it in ``test/peer``.
"""

from dataclasses import replace

import pytest

from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.espnet_yaml import espnet_yaml
from espnet2.utils.errors import ConfigError

LOSS = {"loss": "hubert_ce", "loss_conf": {"num_classes": 5, "final_dim": 4}}


def config_of(**changes):
    return SSLModelConfig.from_espnet({**LOSS, **changes})


def test_the_yaml_read_back_is_the_same_model():
    config = config_of(
        frontend_conf={"norm_mode": "group_norm", "bias": False},
        normalize="utterance_mvn",
        encoder_conf={"num_blocks": 2, "use_ffn": True, "input_layer": "linear"},
        masker="hubert",
        masker_conf={"mask_prob": 0.65, "mask_selection": "uniform"},
        model_conf={"feature_grad_mult": 0.5, "feature_penalty_weight": 2.0},
        init="xavier_uniform",
    )
    again = SSLModelConfig.from_espnet(espnet_yaml(config))
    preencoder, (loss,) = config.preencoder, config.losses
    assert again == replace(
        config,
        preencoder=replace(preencoder, output_size=256),
        losses=(replace(loss, layer_weights=(1.0,)),),
    )


def test_what_only_we_have_takes_espnets_form():
    conf = {"num_blocks": 2, "input_layer": "wav2vec", "activation_ckpt": True}
    written = espnet_yaml(config_of(encoder_conf=conf))["encoder_conf"]
    assert written["input_layer"] is None
    assert written["gradient_checkpoint_layers"] == [1, 2]
    assert "activation_ckpt" not in written
    assert "use_flash_attn" not in written


def test_defaults_that_differ_in_espnet_are_written_out():
    written = espnet_yaml(config_of())
    assert written["normalize"] is None
    assert written["frontend_conf"]["norm_mode"] == "layer_norm"
    assert written["encoder_conf"]["attention_layer_type"] == "selfattn"
    assert written["encoder_conf"]["pos_enc_layer_type"] == "conv"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_conf": {"pos_enc_layer_type": "none"}}, "ESPnet has no pos_enc_layer_type none"),
        ({"loss": "hubert"}, "ESPnet has no cosine loss"),
        ({"loss_conf": {}}, "ESPnet builds no masker for a model without a loss"),
        (
            {"preencoder_conf": {"output_size": 64}, "encoder_conf": {"input_layer": "linear"}},
            "the encoder's input, 64 wide, with a vector of its output_size 256",
        ),
    ],
)
def test_a_model_that_espnet_lacks_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        espnet_yaml(config_of(**changes))


def test_the_width_that_espnet_adds_to_the_masks_settings_is_no_obstacle():
    settings = {"encoder_embed_dim": 256, "mask_prob": 0.5}
    config = SSLModelConfig.from_espnet({"util": [{"name": "mask", "conf": settings}]})
    assert config.masker.mask_prob == 0.5
