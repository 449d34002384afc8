"""Reading ESPnet's flat keys."""

import pytest
import torch

from espnet2.ssl.config import SSLModelConfig, model_keys
from espnet2.ssl.espnet_keys import MODEL_KEYS, TRAINING_KEYS
from espnet2.ssl.factory import build_model
from espnet2.utils.errors import ConfigError


def test_the_defaults_build_a_model_that_encodes():
    model = build_model(SSLModelConfig.from_espnet({"encoder_conf": {"num_blocks": 1}})).eval()
    out = model.encode(torch.randn(1, 800), torch.tensor([800]))
    assert out.layers[-1].shape == (1, 2, 256)


def test_the_two_spellings_differ_in_what_their_code_did():
    old = SSLModelConfig.from_espnet({"loss": "hubert", "loss_conf": {"num_classes": 5}})
    new = SSLModelConfig.from_espnet({"loss": [{"name": "hubert", "conf": {"num_classes": 5}}]})
    assert old.losses[0].kind == "hubert"
    assert new.losses[0].kind == "hubert_ce"
    assert (old.model.feature_grad_mult, old.model.feature_penalty_weight) == (0.1, 10.0)
    assert (new.model.feature_grad_mult, new.model.feature_penalty_weight) == (1.0, 0.0)


def test_training_keys_are_set_apart_and_ignored():
    data = {"encoder_conf": {"num_blocks": 1}, "batch_bins": 1600000, "token_list": ["a"]}
    part, rest = model_keys(data)
    assert part == {"encoder_conf": {"num_blocks": 1}}
    assert set(rest) == {"batch_bins", "token_list"}
    assert SSLModelConfig.from_espnet(data).encoder.num_blocks == 1
    assert not MODEL_KEYS & TRAINING_KEYS
    assert len(MODEL_KEYS | TRAINING_KEYS) > 150


def test_unknown_keys_that_are_far_from_a_models_are_named_in_the_log(capsys):
    SSLModelConfig.from_espnet({"my_favourite_colour": "blue"}, "a.yaml")
    assert (
        "a.yaml: keys that do not define the model are ignored: my_fav" in capsys.readouterr().err
    )


REFUSALS = [
    ({"encoder_cnf": {}}, "encoder_cnf is not a known key; did you mean 'encoder_conf'"),
    ({"encoder_conf": {"num_block": 3}}, "num_block is not a known key; .* 'num_blocks'"),
    ({"encoder_conf": {"num_blocks": "3"}}, "num_blocks must be int, got '3'"),
    ({"encoder": "conformer"}, "encoder 'conformer' is not supported; it must be e_branchformer"),
    ({"frontend": "default"}, "frontend 'default' is not supported; it must be wav2vec_cnn"),
    ({"specaug": "specaug"}, "specaug 'specaug' is not supported"),
    ({"normalize": "global_mvn"}, "normalize 'global_mvn' is not supported"),
    ({"preencoder": "sinc"}, "preencoder 'sinc' is not supported"),
    ({"init": "chainer"}, "init must be xavier_uniform or null"),
    ({"frontend_conf": {"conv_mode": "depth_sep"}}, "conv_mode must be one of standard"),
    ({"frontend_conf": {"fs": 8000}}, "fs must be 16000"),
    ({"frontend_conf": {"shapes": [[4, 2, 3]]}}, "kernel >= stride"),
    ({"frontend_conf": {"shapes": [[4, 2]]}}, "must hold 3 values"),
    ({"encoder_conf": {"attention_layer_type": "rel_selfattn"}}, "must be one of selfattn"),
    ({"encoder_conf": {"pos_enc_layer_type": "rel_pos"}}, "must be one of conv, abs_pos, none"),
    ({"encoder_conf": {"input_layer": "conv2d"}}, "input_layer must be one of linear, wav2vec"),
    ({"encoder_conf": {"layer_drop_rate": 0.1}}, "layer drop is not supported"),
    ({"encoder_conf": {"interctc_layer_idx": [1]}}, "intermediate CTC is not supported"),
    ({"encoder_conf": {"qk_norm": True}}, "qk_norm must be one of False"),
    ({"encoder_conf": {"attention_heads": 3}}, "256 must be a multiple of attention_heads 3"),
    ({"encoder_conf": {"merge_conv_kernel": 30}}, "merge_conv_kernel must be odd, got 30"),
    ({"encoder_conf": {"macaron_ffn": True}}, "macaron_ffn needs use_ffn"),
    ({"encoder_conf": {"gradient_checkpoint_layers": [13]}}, "there is no block 13"),
    ({"masker_conf": {"mask_selection": "fixed"}}, "mask_selection must be one of static"),
    ({"masker_conf": {"mask_min_space": -1}}, "mask_min_space must be an int of 0 or more"),
    ({"masker_conf": {"mask_channel_prob": -0.1}}, "mask_channel_prob must be 0 or more"),
    ({"masker_conf": {}, "util": []}, "give masker/masker_conf or util, not both"),
    ({"util": [{"name": "ema"}]}, r"util must be one entry named mask, got \['ema'\]"),
    ({"loss": [{"name": "dino"}]}, "loss 'dino' is not supported"),
    ({"loss": "dino", "loss_conf": {"num_classes": 2}}, "loss 'dino' is not supported"),
    ({"loss_conf": {"final_dim": 5}}, "num_classes is required"),
    (
        {"loss_conf": {"num_classes": 2, "layers": [0, 1], "layer_weights": [1.0]}},
        "one weight a layer: 1 weights for 2 layers",
    ),
    ({"model_conf": {"feature_grad": 0.1}}, "feature_grad is not a known key"),
]


@pytest.mark.parametrize(("data", "message"), REFUSALS)
def test_what_cannot_be_built_is_refused_by_name(data, message):
    with pytest.raises(ConfigError, match=message):
        SSLModelConfig.from_espnet(data, "a.yaml")


WIDTHS = [
    ({"preencoder": None}, "the encoder's input, 512 wide, must have output_size 256"),
    ({"preencoder_conf": {"output_size": 128}}, "128 wide, must have output_size 256"),
    ({"preencoder_conf": {"input_size": 80}}, "input_size 80 must be the front end's 512"),
    ({"loss_conf": {"num_classes": 9, "layers": [12]}}, "there is no layer 12 of 12"),
]


@pytest.mark.parametrize(("data", "message"), WIDTHS)
def test_parts_that_do_not_fit_are_refused(data, message):
    with torch.device("meta"), pytest.raises(ConfigError, match=message):
        build_model(SSLModelConfig.from_espnet(data))


def test_espnets_flash_wish_means_torchs_choice_and_false_forbids_it():
    for wish, switch in ((True, None), (False, False)):
        data = {"encoder_conf": {"num_blocks": 1, "use_flash_attn": wish}}
        with torch.device("meta"):
            model = build_model(SSLModelConfig.from_espnet(data))
        assert model.encoder.encoders[0].use_flash_attn is switch
