"""Checkpoints to and from real ESPnet, which runs as a process in its own environment."""

import numpy as np
import pytest
import torch
import yaml
from espnet_process import espnet_version, require_espnet, run_espnet, write_audio
from tiny_dump import MODEL, make_dump

from espnet2.ssl.config import SSLModelConfig, model_keys
from espnet2.ssl.espnet_keys import TRAINING_KEYS
from espnet2.ssl.espnet_yaml import espnet_yaml
from espnet2.ssl.interop import our_names, state_dict_as
from espnet2.tasks.ssl import SSLTask
from espnet2.train.checkpoint import save_tensors, step_path
from espnet2.train.export.stage import export
from espnet2.utils.config import load_yaml, save_yaml
from espnet2.utils.files import read_json

pytestmark = pytest.mark.peer

TOLERANCE = 1e-5  # of the largest absolute value
SHAPES = [[16, 10, 5], [16, 3, 2], [16, 3, 2], [16, 3, 2], [16, 3, 2], [16, 2, 2], [16, 2, 2]]
FRONTEND = {"norm_mode": "layer_norm", "conv_mode": "standard", "bias": True, "shapes": SHAPES}
ENCODER = {
    "output_size": 32, "attention_heads": 4, "attention_layer_type": "selfattn", "num_blocks": 2,
    "cgmlp_linear_units": 48, "cgmlp_conv_kernel": 7, "linear_units": 40, "merge_conv_kernel": 5,
}  # fmt: skip
CONV, SINUSOIDS = (
    {"pos_enc_layer_type": kind, "input_layer": None} for kind in ("conv", "abs_pos")
)
MACARON = {"use_ffn": True, "macaron_ffn": True}


def case(frontend, encoder, mask=None, loss=None, **changes):
    """A train.yaml of ESPnet's; it names what our defaults or ESPnet's would choose otherwise."""
    return {
        "frontend": "wav2vec_cnn",
        "frontend_conf": {**FRONTEND, **frontend},
        "normalize": None,
        "preencoder": "linear",
        "preencoder_conf": {"output_size": 32},
        "encoder": "e_branchformer",
        "encoder_conf": {**ENCODER, **encoder},
        "util": [{"name": "mask", "conf": mask or {}}],
        "loss": [{"name": "hubert", "conf": {"num_classes": 9, "final_dim": 24, **(loss or {})}}],
        **changes,
    }


CASES = {
    "xeus": case({"normalize_audio": True}, {**CONV, **MACARON}, init="xavier_uniform"),
    "group_norm": case(
        {"norm_mode": "group_norm", "bias": False},
        {**SINUSOIDS, "input_layer": "linear", "gate_activation": "swish"}
        | {"use_linear_after_conv": True},
        normalize="utterance_mvn",
    ),
    "one_feed_forward": case(
        {"layer_norm_cls": "dim1", "normalize_output": True, "normalize_audio": True},
        {**SINUSOIDS, "use_ffn": True, "ffn_activation_type": "relu", "gate_activation": "relu"},
        loss={"layers": [0, -1], "loss_weights": [0.3, 1.0]},
        normalize="utterance_mvn",
        normalize_conf={"norm_vars": True},
    ),
    "no_preencoder": case(
        {"fs": "16k", "shapes": [*SHAPES[:-1], [32, 2, 2]]},
        {**CONV, **MACARON, "input_layer": "linear", "gate_activation": "tanh"}
        | {"use_linear_after_conv": True, "ffn_activation_type": "selu"},
        mask={"mask_prob": 0.65, "mask_length": 4, "mask_selection": "uniform"},
        preencoder=None,
        preencoder_conf={},
    ),
    "other_activations": case(
        {"norm_mode": "group_norm", "normalize_audio": True},
        {**CONV, **MACARON, "gate_activation": "selu", "ffn_activation_type": "hardtanh"}
        | {"use_flash_attn": False, "gradient_checkpoint_layers": [0, 2]},
        mask={"mask_prob": 0.5, "mask_selection": "normal", "mask_other": 2.0},
    ),
}
OURS = [*CASES, "exported", "zip"]  # the last is unpacked by ESPnet


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """(folder, our models by case), after ESPnet has answered for both sides' files."""
    require_espnet()
    folder = tmp_path_factory.mktemp("peer")
    write_audio(folder)
    models = {}
    for name, config in CASES.items():
        write_yaml(folder / "theirs" / name / "train.yaml", config)
        models[name] = save_ours(folder / "ours" / name, config)
    models["exported"] = save_exported(folder / "ours/exported", tmp_path_factory.mktemp("run"))
    (folder / "zips").mkdir()
    (folder / "ours/exported/espnet_model.zip").rename(folder / "zips/zip.zip")
    models["zip"] = models["exported"]
    run_espnet("espnet_side.py", folder)
    return folder, models


def write_yaml(path, config):
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(config))


def random_model(config):
    """Our model with no weight at its plain start."""
    torch.manual_seed(4)
    model = SSLTask.build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def save_ours(folder, config):
    model = random_model(config)
    config = espnet_yaml(SSLModelConfig.from_espnet(config))
    write_yaml(folder / "config.yaml", {**config, "token_list": ["a"]})
    torch.save(state_dict_as(model, "new", global_step=7), folder / "model.pth")
    return model


def save_exported(folder, run):
    """What the export stage makes of a recipe's model in the old spelling."""
    config = {**MODEL, "loss_conf": {**MODEL["loss_conf"], "num_classes": 4, "layers": [0]}}
    model = random_model(config)
    exp = run / "ssl_tiny"
    save_yaml(exp / "config.yaml", config)
    save_tensors(step_path(exp / "intermediate", 1), {"model": model.state_dict()})
    export(exp, make_dump(run / "dump"), folder, {})
    (folder / "config_new.yaml").rename(folder / "config.yaml")
    (folder / "xeus_checkpoint_new.pth").rename(folder / "model.pth")
    return model


def utterances(folder):
    """(name, speech (1, N), its length, labels (1, T), their length) of each."""
    audio = np.load(folder / "audio.npz")
    for i in range(2):
        speech, text = (torch.from_numpy(audio[f"{name}{i}"])[None] for name in ("wav", "text"))
        yield f"wav{i}", speech, torch.tensor([speech.shape[1]]), text, torch.tensor([text.numel()])


def assert_near(ours, theirs):
    theirs = torch.from_numpy(theirs)
    error = (ours - theirs).abs().max() / theirs.abs().max()
    assert error <= TOLERANCE, f"relative error {error:.1e}"


@torch.no_grad()
def assert_features_agree(model, folder, case):
    answers = np.load(folder / case / "answers.npz")
    for name, speech, lengths, *_ in utterances(folder.parent):
        final, layers, frames = model.inference_encode(speech, lengths)
        assert sum(key.startswith(f"{name}/layer") for key in answers) == len(layers)
        for i, layer in enumerate(layers):
            assert_near(layer, answers[f"{name}/layer{i}"])
        assert_near(final, answers[f"{name}/final"])
        assert frames.tolist() == answers[f"{name}/frames"].tolist()


@torch.no_grad()
def assert_losses_agree(model, folder, case):
    """ESPnet's loss is the mean over masked frames; ours is a sum and what it was taken over."""
    answers = np.load(folder / case / "answers.npz")
    for name, *batch in utterances(folder.parent):
        is_masked = torch.from_numpy(answers[f"{name}/mask"])
        assert 0 < is_masked.sum() < is_masked.numel()
        model.masker.draw = lambda *_, is_masked=is_masked: is_masked
        out = model(*batch)
        assert out.weight == is_masked.sum()
        assert_near((out.loss_sum / out.weight)[None], answers[f"{name}/loss"])


@pytest.mark.parametrize("case", CASES)
def test_a_checkpoint_and_yaml_of_espnet_load_here_and_agree(peer, case):
    folder = peer[0] / "theirs"
    model, args = SSLTask.build_model_from_file(None, folder / case / "model.pth")
    assert args.version == espnet_version()
    assert len(vars(args)) > 130
    assert_features_agree(model, folder, case)
    assert_losses_agree(model, folder, case)


@pytest.mark.parametrize("case", OURS)
def test_a_checkpoint_and_yaml_of_ours_load_in_espnet_and_agree(peer, case):
    folder, models = peer[0] / "ours", peer[1]
    assert_features_agree(models[case], folder, case)
    assert_losses_agree(models[case], folder, case)


def test_espnet_unpacks_the_exported_zip_into_its_own_places(peer):
    unpacked = read_json(peer[0] / "unpacked.json")
    folder = peer[0] / "zips/zip"
    exported = peer[0] / "ours/exported"
    assert unpacked == {
        "ssl_train_config": str(folder / "exp/ssl_tiny/config.yaml"),
        "ssl_model_file": str(folder / "exp/ssl_tiny/xeus_checkpoint_new.pth"),
    }
    model = (folder / "exp/ssl_tiny/xeus_checkpoint_new.pth").read_bytes()
    assert model == (exported / "model.pth").read_bytes()
    written, read = exported / "config.yaml", folder / "exp/ssl_tiny/config.yaml"
    assert load_yaml(read) == load_yaml(written)
    meta = load_yaml(folder / "meta.yaml")
    assert set(meta) == set(load_yaml(peer[0] / "packed_by_espnet.yaml"))
    assert meta["espnet"] == "202511"


@pytest.mark.parametrize("case", OURS)
def test_the_yaml_written_for_espnet_builds_the_same_model_here(peer, case):
    folder, models = peer[0] / "ours", peer[1]
    model, _ = SSLTask.build_model_from_file(None, folder / case / "model.pth")
    assert_features_agree(model, folder, case)
    for name, tensor in models[case].state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_every_file_that_espnets_training_leaves_loads_here(peer):
    folder = peer[0] / "theirs/xeus"
    for name in ("1epoch.pth", "checkpoint.pth", "valid.loss.best.pth"):
        model, args = SSLTask.build_model_from_file(None, folder / name)
        assert (args.max_epoch, args.token_type) == (1, "word")
        theirs = our_names(torch.load(folder / "1epoch.pth", weights_only=True))
        for key, tensor in model.state_dict().items():
            assert torch.equal(tensor, theirs[key]), (name, key)


def test_espnets_training_keys_are_all_known(peer):
    yaml_of_espnet = load_yaml(peer[0] / "theirs/xeus/config.yaml")
    _, rest = model_keys(yaml_of_espnet)
    assert sorted(set(rest) - TRAINING_KEYS) == []
