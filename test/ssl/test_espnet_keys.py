"""Every key and choice that ESPnet's own code lists is accepted, or refused by name."""

import ast
from pathlib import Path

import pytest

from espnet2.ssl.config import SSLModelConfig, model_keys
from espnet2.ssl.espnet_keys import MODEL_KEYS, TRAINING_KEYS
from espnet2.utils.errors import ConfigError

GOLDEN = Path(__file__).parent.parent / "golden"
LAYOUTS = ("old", "new")
# What ESPnet requires, as XEUS has it, and what its defaults leave to unsupported parts.
NEEDED = {
    "frontend": {"norm_mode": "layer_norm", "conv_mode": "standard", "bias": True},
    "preencoder": {"output_size": 256},
    "encoder": {
        "attention_layer_type": "selfattn", "pos_enc_layer_type": "conv", "input_layer": None,
    },
    "masker": {
        "mask_prob": 0.8, "mask_selection": "uniform", "mask_other": 0.0, "mask_length": 10,
        "no_mask_overlap": False, "mask_min_space": 1, "mask_channel_prob": 0.0,
        "mask_channel_selection": "static", "mask_channel_other": 0.0, "mask_channel_length": 10,
        "no_mask_channel_overlap": False, "mask_channel_min_space": 1,
    },
    "loss": {"num_classes": 9, "final_dim": 4},
}  # fmt: skip
SUPPORTED = (
    "frontend wav2vec_cnn", "normalize utterance_mvn", "preencoder linear",
    "encoder e_branchformer", "masker hubert", "util mask", "loss hubert", "loss hubert_ce",
    "model espnet",
)  # fmt: skip


def constructor_keys(layout):
    """(part, choice, key, default) of every constructor argument that a YAML can set."""
    for line in (GOLDEN / f"espnet_conf_keys_{layout}.txt").read_text().splitlines():
        head, _, rest = line.partition(": ")
        name = head.partition(" = ")[0]
        if name in SUPPORTED:
            for pair in rest.split("; "):
                key, _, default = pair.partition("=")
                yield *name.split(), key, default


def yaml_options(layout):
    """{key: (default, choices)} of every top-level option."""
    options = {}
    for line in (GOLDEN / f"espnet_yaml_keys_{layout}.txt").read_text().splitlines():
        _, key, default, choices = line.split("|")
        options[key] = (ast.literal_eval(default), ast.literal_eval(choices or "()"))
    return options


def config_with(part, choice, conf):
    """ESPnet's keys with ``conf`` as the whole of one part."""
    data = {"encoder_conf": NEEDED["encoder"]}
    if part == "util":
        return {**data, "util": [{"name": choice, "conf": conf}]}
    return {**data, part: choice, f"{part}_conf": conf}


DEFAULTS = [
    (layout, part, choice, key, ast.literal_eval(default))
    for layout in LAYOUTS
    for part, choice, key, default in constructor_keys(layout)
    if default != "REQUIRED"
]


@pytest.mark.parametrize(("layout", "part", "choice", "key", "default"), DEFAULTS)
def test_every_part_takes_espnets_defaults_or_refuses_them_by_name(
    layout, part, choice, key, default
):
    unsupported = ("rel_selfattn", "rel_pos", "conv2d")
    conf = {**NEEDED.get(part, {}), key: default}
    if layout == "new" and part == "loss":
        data = {"encoder_conf": NEEDED["encoder"], "loss": [{"name": choice, "conf": conf}]}
    else:
        data = config_with(part, choice, conf)
    if default in unsupported:
        with pytest.raises(ConfigError, match=f"{key} must be one of .*, got '{default}'"):
            SSLModelConfig.from_espnet(data)
    else:
        SSLModelConfig.from_espnet(data)


def test_the_list_of_constructor_keys_is_read_whole():
    assert len(DEFAULTS) == 102
    required = {
        (part, key)
        for layout in LAYOUTS
        for part, _, key, default in constructor_keys(layout)
        if default == "REQUIRED" and part != "model"
    }
    given = {(part, key) for part, conf in NEEDED.items() for key in conf}
    handed_over = {"input_size", "encoder_embed_dim", "encoder_output_size"}
    assert {(part, key) for part, key in required - given if key not in handed_over} == set()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_options_of_an_espnet_yaml_are_known_and_none_is_read_as_the_models(layout, capsys):
    options = yaml_options(layout)
    assert len(options) == {"old": 135, "new": 141}[layout]
    assert set(options) <= MODEL_KEYS | TRAINING_KEYS
    data = {key: default for key, (default, _) in options.items()}
    data |= {"encoder": "e_branchformer", "encoder_conf": NEEDED["encoder"]}
    data |= {"loss": [], "token_list": ["a"] * 502} if layout == "new" else {}
    SSLModelConfig.from_espnet(data, "config.yaml")
    assert capsys.readouterr().err == ""
    assert len(model_keys(data)[1]) == len(options) - len(set(options) & MODEL_KEYS)


CHOICES = sorted(
    {
        (key, choice)
        for layout in LAYOUTS
        for key, (_, choices) in yaml_options(layout).items()
        if key in MODEL_KEYS
        for choice in choices
    },
    key=str,
)
ACCEPTED = {
    ("frontend", "wav2vec_cnn"), ("specaug", None), ("normalize", "utterance_mvn"),
    ("normalize", None), ("preencoder", "linear"), ("preencoder", None), ("model", "espnet"),
    ("encoder", "e_branchformer"), ("masker", "hubert"), ("loss", "hubert"),
    ("loss", "hubert_ce"), ("init", None), ("init", "xavier_uniform"),
}  # fmt: skip


@pytest.mark.parametrize(("key", "choice"), CHOICES)
def test_every_choice_between_parts_is_supported_or_refused_by_name(key, choice):
    data = {"encoder_conf": NEEDED["encoder"], key: choice}
    if key == "loss":
        data["loss_conf"] = NEEDED["loss"]
    if (key, choice) in ACCEPTED:
        SSLModelConfig.from_espnet(data)
    else:
        with pytest.raises(ConfigError, match=f"{key} .*{choice}"):
            SSLModelConfig.from_espnet(data)


def test_every_supported_choice_is_one_of_espnets():
    assert set(CHOICES) >= ACCEPTED
    assert len(CHOICES) == 24


ENCODER_CHOICES = {
    "attention_layer_type": ("rel_selfattn", "legacy_rel_selfattn", "fast_selfattn"),
    "pos_enc_layer_type": ("scaled_abs_pos", "rel_pos", "legacy_rel_pos"),
    "input_layer": (
        "conv1d1", "conv1d2", "conv1d3", "conv2d", "conv2d1", "conv2d2", "conv2d6", "conv2d8",
        "embed",
    ),
    "positionwise_layer_type": ("conv1d", "conv1d-linear"),
    "layer_drop_rate": (0.1,),
    "interctc_layer_idx": ([3],),
    "interctc_use_conditioning": (True,),
    "zero_triu": (True,),
    "qk_norm": (True,),
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, many in ENCODER_CHOICES.items() for value in many]
)
def test_an_encoder_option_that_is_not_supported_is_refused_by_its_name(key, value):
    with pytest.raises(ConfigError, match=f"encoder_conf: {key} must be ") as error:
        SSLModelConfig.from_espnet({"encoder_conf": {key: value}})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("positions", ["conv", "abs_pos", "none"])
@pytest.mark.parametrize("input_layer", ["linear", "wav2vec", "none", None])
def test_the_encoders_supported_input_layers_and_positions(positions, input_layer):
    conf = {"pos_enc_layer_type": positions, "input_layer": input_layer}
    encoder = SSLModelConfig.from_espnet({"encoder_conf": conf}).encoder
    assert (encoder.pos_enc_layer_type, encoder.input_layer) == (positions, input_layer)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"input_size": 80}, "a.yaml: input_size 80 is not supported; leave it out"),
        ({"use_adapter": True}, "a.yaml: use_adapter True is not supported; leave it out"),
        ({"model_conf": ["a"]}, "a.yaml: model_conf must be a mapping"),
    ],
)
def test_an_option_of_training_that_makes_another_model_is_refused(data, message):
    with pytest.raises(ConfigError, match=message):
        SSLModelConfig.from_espnet(data, "a.yaml")


BAD_SIZES = [
    ({"attention_heads": 0}, "attention_heads must be at least 1, got 0"),
    ({"linear_units": -4}, "linear_units must be at least 1, got -4"),
    ({"num_blocks": 0}, "num_blocks must be at least 1, got 0"),
    ({"dropout_rate": 1.5}, "dropout_rate must be 0 or more and below 1, got 1.5"),
    ({"attention_dropout_rate": -0.1}, "attention_dropout_rate must be 0 or more"),
]


@pytest.mark.parametrize(("conf", "message"), BAD_SIZES)
def test_sizes_and_rates_out_of_range_are_refused(conf, message):
    with pytest.raises(ConfigError, match=message):
        SSLModelConfig.from_espnet({"encoder_conf": conf})
