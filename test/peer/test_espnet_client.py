"""What ``egs2/README.md`` shows under "In ESPnet" is run in real ESPnet, and gives our numbers."""

import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from espnet_process import (
    ENVIRONMENT,
    espnet_version,
    require_espnet,
    run_beside_espnet,
    run_espnet,
)
from tiny_dump import TAG, make_dump

from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.espnet_yaml import espnet_yaml
from espnet2.ssl.interop import state_dict_as, undrawn_model
from espnet2.tasks.ssl import SSLTask
from espnet2.train.checkpoint import save_tensors, step_path
from espnet2.train.export.stage import export
from espnet2.utils.config import load_section, save_yaml
from espnet2.utils.files import read_json

pytestmark = pytest.mark.peer

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-5  # of the largest absolute value
NUM_CLUSTERS, LISTS = 128, "dump/superb/10min"
EXPORT = "exp/ssl_mini/export/espnet/xeus_checkpoint_new.pth"
SMALL = {"--batch_bins 1280000": "--batch_bins 16000 --log_interval 1 --num_workers 0"}


def shown(language):
    """The blocks of the section."""
    text = (ROOT / "egs2/README.md").read_text()
    section = re.search(r"^## In ESPnet\n(.*?)(?:^## |\Z)", text, flags=re.S | re.M)[1]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.S)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The mini recipe's folder with a tiny dump, and the mini model of random weights exported."""
    require_espnet()
    folder = tmp_path_factory.mktemp("with space") / "ssl1"
    dump = make_dump(folder / "dump")
    for name in ("train", "valid"):
        (dump / name / "labels" / TAG).rename(dump / name / "labels/mini")
    config = load_section(ROOT / "conf/mini.yaml", "pretrain", [])
    config["loss_conf"]["num_classes"] = NUM_CLUSTERS
    config["encoder_conf"]["positional_dropout_rate"] = 0.0
    torch.manual_seed(4)
    exp = folder / "exp/ssl_mini"
    save_yaml(exp / "config.yaml", config)
    state = SSLTask.build_model(config).state_dict()
    save_tensors(step_path(exp / "intermediate", 1), {"model": state})
    export(exp, dump, exp / "export", {})
    audio = np.random.default_rng(3).normal(0.01, 0.1, 16_327).astype(np.float32)
    soundfile.write(folder / "audio.wav", audio, 16000)
    write_lists(folder)
    return folder


def write_lists(folder):
    """Transcribed speech as stage 10 lists it."""
    for name in ("train", "dev"):
        lists = folder / LISTS / name
        lists.mkdir(parents=True)
        (lists / "text").write_text("a AB BA\nb BAB\n")
        (lists / "wav.scp").write_text("".join(f"{key} {folder}/audio.wav\n" for key in "ab"))


@pytest.fixture(scope="module")
def printed(recipe):
    """What each of the shell blocks printed, run in their order in the recipe's folder."""
    texts = []
    for block in shown("bash"):
        assert block.startswith("cd egs2/mini/ssl1 && . ../../../tools/")
        block = block.removeprefix("cd egs2/mini/ssl1 && ")
        for name, place in {"espnet_venv": ENVIRONMENT, "venv": ROOT / "tools/venv"}.items():
            block = block.replace(f"../../../tools/{name}/", shlex.quote(f"{place}/"))
        for old, new in SMALL.items():
            block = block.replace(old, new)
        texts.append(run_beside_espnet("bash", "-euc", block, folder=recipe))
    return texts


@pytest.fixture(scope="module")
def answers(recipe, printed):
    """(keys of every loading, arrays) of ESPnet, the commands having run."""
    xeus = SSLModelConfig.from_espnet(full_config())
    save_yaml(recipe / "full.yaml", {**espnet_yaml(xeus), "init": None, "token_list": ["a"]})
    (lines,) = shown("python")
    (recipe / "shown.py").write_text(lines)
    run_espnet("client_side.py", recipe)
    return read_json(recipe / "client.json"), np.load(recipe / "client.npz")


def full_config():
    """The paper's model with its 2,048 classes."""
    config = load_section(ROOT / "conf/xeus.yaml", "pretrain", [])
    return {**config, "loss_conf": {**config["loss_conf"], "num_classes": 2048}}


@pytest.fixture(scope="module")
def ours(recipe):
    """(model, audio (1, N), its hidden states) of the export, here."""
    model, _ = SSLTask.build_model_from_file(None, recipe / EXPORT)
    speech = torch.from_numpy(soundfile.read(recipe / "audio.wav", dtype="float32")[0])[None]
    with torch.no_grad():
        final, layers, _ = model.eval().inference_encode(speech, torch.tensor([speech.shape[1]]))
    return final, layers


def assert_near(ours, theirs):
    theirs = torch.as_tensor(theirs)
    assert ours.shape == theirs.shape
    error = (ours - theirs).abs().max() / theirs.abs().max()
    assert error <= TOLERANCE, f"relative error {error:.1e}"


def test_the_shown_lines_give_our_features_in_espnet(answers, ours):
    (final, layers), arrays = ours, answers[1]
    assert_near(final, arrays["shown/final"])
    assert len(layers) == sum(name.startswith("shown/layer") for name in arrays) == 3
    for number, layer in enumerate(layers):
        assert_near(layer, arrays[f"shown/layer{number}"])
    assert arrays["shown/frames"].tolist() == [layers[0].shape[1]]


def test_nothing_is_missing_or_unexpected_in_an_export_at_either_of_espnets_doors(recipe, answers):
    count = len(torch.load(recipe / EXPORT, weights_only=True))
    assert answers[0]["ssl"] == [[count, [], []]]
    encoder, recogniser = answers[0]["asr"]  # the frontend loads the export, then all is loaded
    assert encoder == [count, [], []]
    assert recogniser[1:] == [[], []]


def test_a_full_size_xeus_has_espnets_names_and_shapes(answers):
    model = undrawn_model(SSLModelConfig.from_espnet(full_config()))
    state = state_dict_as(model, "new", global_step=1)
    assert {name: list(value.shape) for name, value in state.items()} == answers[0]["full"]
    assert sum(parameter.numel() for parameter in model.parameters()) > 570e6


def test_espnets_frontend_mixes_our_features_after_an_epoch_with_them(printed, answers, ours):
    _, arrays = answers
    weights = torch.from_numpy(arrays["mix"]).softmax(0)
    assert weights.std() > 0  # it was trained
    mixed = sum(weight * layer for weight, layer in zip(weights, ours[1], strict=True))
    assert_near(mixed, arrays["feats"])
    assert arrays["frames"].tolist() == [mixed.shape[1]]
    assert "The training was finished at 1 epochs" in printed[0]


def test_espnet_reads_our_audio_and_our_labels_of_every_utterance(recipe, answers):
    index = Index.open(recipe / "dump/train")
    labels = LabelStore.open(index, recipe / "dump/train/labels/mini")
    arrays = answers[1]
    assert sum(name.endswith("/text") for name in arrays) == len(index) == 12
    for row, utt_id in enumerate(index.utt_ids):
        np.testing.assert_array_equal(arrays[f"{utt_id}/text"], labels.labels(row))
        np.testing.assert_array_equal(arrays[f"{utt_id}/speech"], index.audio(row))


def test_an_epoch_of_espnets_pre_training_lowers_the_loss_and_loads_here(recipe, printed):
    losses = [float(x) for x in re.findall(r"1epoch:train:.*?(?<!_)loss=([\d.]+)", printed[2])]
    valid = float(re.search(r"\[valid\] .*?(?<!_)loss=([\d.]+)", printed[2])[1])
    assert len(losses) >= 4
    alone = losses_alone(recipe)
    assert min(alone) > math.log(NUM_CLUSTERS)
    assert min(alone) < losses[0] < max(alone)  # a batch of them
    assert valid < losses[0] - 1
    assert losses[-1] < losses[0] - 1
    model, args = SSLTask.build_model_from_file(None, recipe / "exp/espnet_ssl/1epoch.pth")
    assert args.version == espnet_version()
    before = SSLTask.build_model_from_file(None, recipe / EXPORT)[0].state_dict()
    moved = [name for name, tensor in model.state_dict().items() if not tensor.equal(before[name])]
    assert "encoder.encoders.0.norm_final.weight" in moved


@torch.no_grad()
def losses_alone(recipe):
    """Our loss of each utterance, a mean over masked frames, before the epoch."""
    model, _ = SSLTask.build_model_from_file(None, recipe / EXPORT)
    index = Index.open(recipe / "dump/train")
    labels = LabelStore.open(index, recipe / "dump/train/labels/mini")
    torch.manual_seed(1)
    losses = []
    for row in range(len(index)):
        speech = torch.from_numpy(index.audio(row))[None]
        text = torch.from_numpy(labels.labels(row).astype(np.int64))[None]
        lengths = (torch.tensor([x.shape[1]]) for x in (speech, text))
        out = model(speech, next(lengths), text, next(lengths))
        losses.append(float(out.loss_sum / out.weight))
    return losses
