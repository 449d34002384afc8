"""The teacher against torchaudio's outputs (golden files; torchaudio itself where it imports)."""

import numpy as np
import pytest
import torch
from hubert_files import AUDIO, MODELS, WHOLE_MODEL, expected, save, settings, tensors, yaml_of

from espnet2.tokens.teachers.registry import build_teacher
from espnet2.utils.errors import CheckpointError, ConfigError

TOLERANCE = 1e-5  # of the largest absolute value
SHAPES = "extractor_conv_layer_config"
POSITIONS = f"{WHOLE_MODEL}wav2vec2.encoder.transformer.pos_conv_embed.conv"


def teacher(checkpoint, layer=2, **more):
    return build_teacher("wavlablm", {"checkpoint": str(checkpoint), "layer": layer, **more})


def assert_near(ours, theirs):
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert ours.shape == theirs.shape
    assert error <= TOLERANCE, f"relative error {error:.1e}"


def respelt(state, *pairs):
    """``state`` with parts of its names replaced."""
    out = {}
    for name, tensor in state.items():
        for old, new in pairs:
            name = name.replace(old, new)
        out[name] = tensor
    return out


OLDER = [("parametrizations.weight.original0", "weight_g")]
OLDER += [("parametrizations.weight.original1", "weight_v")]


@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_the_frames_are_torchaudios_layer(tmp_path, name, layer):
    hubert = teacher(save(tmp_path, tensors(name), yaml_of(name)), layer)
    assert len(hubert.network.layers) == layer
    assert hubert.dim == 16
    frames = hubert.frames(AUDIO)
    assert frames.lengths.tolist() == [24, 9]
    assert_near(frames.values.numpy()[:24], expected(name, layer)[0])
    assert_near(frames.values.numpy()[24:], expected(name, layer)[1])


@pytest.mark.parametrize("name", MODELS)
def test_in_a_padded_batch_an_utterance_has_the_frames_it_has_alone(tmp_path, name):
    hubert = teacher(save(tmp_path, tensors(name), yaml_of(name)))
    speech = torch.full((3, 8320), 1e3)  # whatever stands on padding is not read
    lengths = [len(AUDIO[0]), len(AUDIO[1]), 400]
    for row, length in zip(speech, lengths, strict=True):
        row[:length] = torch.from_numpy(AUDIO[1 if length < 8000 else 0][:length])
    with torch.no_grad():
        states, frames = hubert.layer_output(speech, lengths)
    assert (states.shape, frames) == ((3, 25, 16), [24, 9, 1])
    for row, count, theirs in zip(states, frames, expected(name, 2), strict=False):
        assert_near(row[:count].numpy(), theirs)


@pytest.mark.parametrize("name", MODELS)
def test_torchaudio_itself_agrees(tmp_path, name):
    models = pytest.importorskip("torchaudio").models
    conf = settings(name)
    training = {
        "encoder_projection_dropout": 0.1, "encoder_attention_dropout": 0.1,
        "encoder_ff_interm_dropout": 0.1, "encoder_dropout": 0.1, "encoder_layer_drop": 0.05,
        "mask_prob": 0.8, "mask_selection": "static", "mask_other": 0.0, "mask_length": 10,
        "no_mask_overlap": False, "mask_min_space": 1, "mask_channel_prob": 0.0,
        "mask_channel_selection": "static", "mask_channel_other": 0.0, "mask_channel_length": 10,
        "no_mask_channel_overlap": False, "mask_channel_min_space": 1, "skip_masked": False,
        "skip_nomask": False, "num_classes": 5, "final_dim": 6, "feature_grad_mult": 0.1,
    }  # fmt: skip
    torch.manual_seed(3)
    model = models.hubert_pretrain_model(**conf, **training).eval()
    ours = teacher(save(tmp_path, model.state_dict(), yaml_of(name)), 3)
    for clip in AUDIO:
        with torch.no_grad():
            theirs, _ = model.wav2vec2.extract_features(torch.from_numpy(clip)[None])
        assert_near(ours.frames([clip]).values.numpy(), theirs[2][0].numpy())


LAYOUTS = {
    "espnet_older_weight_norm": respelt(tensors("large"), *OLDER),
    "training_state": {"model": tensors("large"), "optimizers": [{}], "epoch": 3},
    "torchaudio_pretraining": tensors("large", prefix=""),
    "torchaudio_wav2vec2": {
        name.removeprefix("wav2vec2."): tensor
        for name, tensor in tensors("large", prefix="").items()
        if name.startswith("wav2vec2.")
    },
    "double_precision": {
        name: tensor.double() if tensor.is_floating_point() else tensor
        for name, tensor in tensors("large").items()
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_the_checkpoint_gives_the_same_frames(tmp_path, layout):
    hubert = teacher(save(tmp_path, LAYOUTS[layout], yaml_of("large")))
    assert {parameter.dtype for parameter in hubert.network.parameters()} == {torch.float32}
    frames = hubert.frames(AUDIO)
    assert_near(frames.values.numpy(), np.concatenate(expected("large", 2)))


def without(key):
    return {name: tensor for name, tensor in tensors("large").items() if not name.endswith(key)}


BAD_STATES = {
    "lacks": (
        without("layers.2.feed_forward.output_dense.weight"),
        "missing 1: encoder.transformer.layers.2.feed_forward.output_dense.weight",
    ),
    "has_more": (
        {
            **tensors("large"),
            f"{WHOLE_MODEL}wav2vec2.encoder.transformer.layers.3.x": torch.ones(2),
        },
        "unknown 1: encoder.transformer.layers.3.x",
    ),
    "has_another_part": (
        {**tensors("large"), "decoder.embed.weight": torch.ones(2)},
        "holds decoder.embed.weight beside the HuBERT model",
    ),
    "is_narrower": (
        {**tensors("large"), f"{POSITIONS}.bias": torch.ones(8)},
        r"wrong shape 1: encoder.transformer.pos_conv_embed.conv.bias is \(8,\) instead of \(16,\)",
    ),
    "is_not_finite": (
        {**tensors("large"), f"{POSITIONS}.bias": torch.full((16,), torch.nan)},
        "unusable 1: .*conv.bias holds NaN",
    ),
    "holds_a_norm_twice": (
        {**tensors("large"), f"{POSITIONS}.weight_g": torch.ones(1, 1, 8)},
        "holds encoder.transformer.pos_conv_embed.conv.weight_g twice, once as",
    ),
    "is_another_model": (
        {"frontend.layers.0.conv.weight": torch.ones(2), "encoder.x": torch.ones(2)},
        "holds no HuBERT model of torchaudio: its names, such as frontend.layers.0.conv.weight",
    ),
}


@pytest.mark.parametrize("case", BAD_STATES)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line(tmp_path, case):
    state, message = BAD_STATES[case]
    with pytest.raises(CheckpointError, match=f"model.pth.* {message}") as error:
        teacher(save(tmp_path, state, yaml_of("large")))
    assert "\n" not in str(error.value)


def conf(**changes):
    return {"encoder_conf": {**settings("large"), **changes}}


BAD_YAMLS = {
    "another_encoder": ({"encoder": "e_branchformer"}, "encoder 'e_branchformer' is not supported"),
    "fairseqs": ({"encoder": "hubert_pretrain"}, "it must be torchaudio_hubert"),
    "spectra": ({"input_size": None, "frontend": "default"}, "frontend 'default' is not supported"),
    "normalised": ({"normalize": "utterance_mvn"}, "normalize 'utterance_mvn' is not supported"),
    "misspelt": (
        conf(encoder_layer_norm_frist=True),
        "encoder_layer_norm_frist is not a known key; did you mean 'encoder_layer_norm_first'",
    ),
    "misspelt_section": (
        {"encoder_cnof": {}},
        "encoder_cnof is not .* did you mean 'encoder_conf'",
    ),
    "odd_heads": (conf(encoder_num_heads=3), "encoder_num_heads 3 does not divide .* 16"),
    "no_groups": (conf(encoder_pos_conv_groups=0), "encoder_pos_conv_groups must be positive"),
    "gaps": (
        conf(extractor_conv_layer_config=[[8, 2, 5]]),
        r"kernel >= stride >= 1, got \(\(8, 2, 5\),\)",
    ),
    "another_rate": (
        conf(extractor_conv_layer_config=[[8, 10, 5], [8, 8, 4]]),
        "makes frames of 45 samples every 20; labels need 400 every 320",
    ),
    "another_window": (
        conf(extractor_conv_layer_config=[*settings("large")[SHAPES][:-1], [8, 3, 2]]),
        "makes frames of 560 samples every 320; labels need 400 every 320",
    ),
}


@pytest.mark.parametrize("case", BAD_YAMLS)
def test_a_configuration_that_is_no_such_model_is_refused_in_one_line(tmp_path, case):
    changes, message = BAD_YAMLS[case]
    with pytest.raises(ConfigError, match=f"config.yaml.*{message}") as error:
        teacher(save(tmp_path, tensors("large"), yaml_of("large", **changes)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("layer", [0, 4])
def test_a_missing_layer_is_refused(tmp_path, layer):
    checkpoint = save(tmp_path, tensors("large"), yaml_of("large"))
    with pytest.raises(ConfigError, match=f"layer must be 1 to 3 for .*model.pth, got {layer}"):
        teacher(checkpoint, layer)


def test_the_identity_is_layer_and_weights_not_the_path(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        save(tmp_path / name, tensors("large"), yaml_of("large"))
    identity = teacher(tmp_path / "here/model.pth").identity()
    assert (identity["teacher"], identity["layer"]) == ("wavlablm", 2)
    assert teacher(tmp_path / "there/model.pth").identity() == identity
    save(tmp_path / "there", tensors("mixed"), yaml_of("mixed"))
    assert teacher(tmp_path / "there/model.pth").identity() != identity


@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_is_near_and_says_so(tmp_path, name):
    hubert = teacher(save(tmp_path, tensors(name), yaml_of(name)), dtype="bfloat16")
    assert hubert.computed == "cpu bfloat16"
    frames, exact = hubert.frames(AUDIO).values, np.concatenate(expected(name, 2))
    assert frames.dtype == torch.float32
    assert 1e-4 < np.linalg.norm(frames.numpy() - exact) / np.linalg.norm(exact) < 0.05
