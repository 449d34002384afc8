import numpy as np
import pytest
import torch
from tiny_teachers import save_xeus
from tiny_tokens import tones

from espnet2.tokens.teachers.registry import build_teacher, teacher_files
from espnet2.utils.errors import ConfigError


@pytest.fixture
def checkpoint(tmp_path):
    model, path = save_xeus(tmp_path)
    return path, model


def clips(*lengths):
    return [tones(length, i).astype(np.float32) / 32768 for i, length in enumerate(lengths)]


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_the_frames_are_the_layers_states(checkpoint, layer):
    path, model = checkpoint
    teacher = build_teacher("xeus", {"checkpoint": str(path), "layer": layer})
    (clip,) = clips(8000)
    out = model.encode(torch.from_numpy(clip)[None], torch.tensor([8000]), use_final_output=False)
    frames = teacher.frames([clip])
    assert frames.lengths.tolist() == [24]
    torch.testing.assert_close(frames.values, out.layers[layer - 1][0])
    assert len(teacher.network.encoder.encoders) == layer


def test_an_utterance_has_the_same_frames_in_any_batch(checkpoint):
    teacher = build_teacher("xeus", {"checkpoint": str(checkpoint[0]), "layer": 2})
    audio = clips(399, 8000, 400, 5000)
    together = teacher.frames(audio)
    assert together.lengths.tolist() == [0, 24, 1, 15]
    alone = np.concatenate([teacher.frames([clip]).values for clip in audio])
    np.testing.assert_array_equal(together.values, alone)


def test_the_identity_is_layer_and_weights_not_the_path(checkpoint, tmp_path):
    path, _ = checkpoint
    identity = build_teacher("xeus", {"checkpoint": str(path), "layer": 2}).identity()
    (tmp_path / "moved").mkdir()
    for name in ("model.pth", "config.yaml"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    moved = {"checkpoint": str(tmp_path / "moved/model.pth"), "layer": 2}
    assert build_teacher("xeus", moved).identity() == identity
    assert build_teacher("xeus", {**moved, "layer": 1}).identity() != identity
    assert teacher_files("xeus", moved) == [
        tmp_path / "moved/model.pth",
        tmp_path / "moved/config.yaml",
    ]


@pytest.mark.parametrize("layer", [0, 4])
def test_a_missing_layer_is_refused(checkpoint, layer):
    with pytest.raises(ConfigError, match=f"layer must be 1 to 3 for .*model.pth, got {layer}"):
        build_teacher("xeus", {"checkpoint": str(checkpoint[0]), "layer": layer})


def test_a_fingerprint_covers_the_configuration_wherever_it_lies(checkpoint, tmp_path):
    # As our experiments have it: exp/ssl_mini/config.yaml, exp/ssl_mini/intermediate/step_1.pth.
    (tmp_path / "intermediate").mkdir()
    path = (tmp_path / "model.pth").rename(tmp_path / "intermediate/step_1.pth")
    settings = {"checkpoint": str(path), "layer": 2}
    assert teacher_files("xeus", settings) == [path, tmp_path / "config.yaml"]
    assert build_teacher("xeus", settings).dim == 16
    only = (tmp_path / "config.yaml").rename(path.parent / "released.yaml")
    assert teacher_files("xeus", settings) == [path, only]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("xeus", {"checkpoint": None, "layer": 2}, "checkpoint must be Path, got None"),
        ("hf", {"model": 3, "layer": 2}, "model must be Path, got 3"),
        ("wavlablm", {"layer": 2}, "teacher_conf: checkpoint is required"),
        ("xeus", {"checkpoint": "a/b.pth", "layer": 2}, "checkpoint: a/b.pth: no such file; a rel"),
    ],
)
def test_wrong_settings_are_refused_before_any_work(name, settings, message):
    for look in (teacher_files, build_teacher):
        with pytest.raises(ConfigError, match=message):
            look(name, settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("name", ["mfcc", "xeus"])
def test_without_a_gpu_asking_for_one_is_refused_in_one_line(checkpoint, name):
    settings = {} if name == "mfcc" else {"checkpoint": str(checkpoint[0]), "layer": 2}
    with pytest.raises(ConfigError, match="--ngpu: torch finds no GPU here; leave the option out"):
        build_teacher(name, settings, "cuda")
