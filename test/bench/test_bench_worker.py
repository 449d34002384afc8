"""What one side of ``bench model`` answers, on a tiny model of our own package."""

import sys
from pathlib import Path

import pytest
import torch

from espnet2.bench.model import PEER_PYTHON
from espnet2.bench.sides import OUR_PACKAGE, Worker
from espnet2.bench.sizes import TINY, model_config
from espnet2.bench.worker import Side, peak_bytes
from espnet2.utils.errors import ConfigError

CALL = {"batch": 2, "audio_s": 0.5}


@pytest.fixture
def side():
    one = Side()
    one.build(model_config(TINY))
    return one


def test_the_model_says_whose_it_is_and_how_large():
    side = Side()
    answer = side.build(model_config(TINY))
    assert Path(answer["package"]) == OUR_PACKAGE
    assert answer["parameters"] == sum(p.numel() for p in side.model.parameters()) > 1000
    assert answer["torch"] == torch.__version__


def test_every_call_is_timed(side):
    for answer in (
        side.encode(**CALL, times=3),
        side.train_step(**CALL, times=3),
        side.mask(batch=4, frames=100, times=3),
    ):
        assert len(answer["seconds"]) == 3
        assert all(0 < seconds < 60 for seconds in answer["seconds"])
        assert 0 < answer["cpu_s"] < 60


def test_encoding_leaves_the_weights_and_a_training_step_moves_all_of_them(side):
    before = {name: p.clone() for name, p in side.model.named_parameters()}
    side.encode(**CALL)
    assert not side.model.training
    assert all(torch.equal(p, before[name]) for name, p in side.model.named_parameters())
    side.train_step(**CALL)
    assert side.model.training
    still = [name for name, p in side.model.named_parameters() if torch.equal(p, before[name])]
    assert still == []


def test_masks_are_drawn_with_the_settings_of_the_configuration(side):
    masks = side.drawing(32, 1000)()
    assert masks.shape == (32, 1000)
    assert 0.5 < masks.float().mean() < 0.6  # 0.55 for 0.8, 10, uniform


def test_peak_memory_counts_what_a_call_holds_and_frees():
    size = 64 * 2**20
    assert 0.95 * size < peak_bytes(lambda: torch.ones(size // 4)) < 1.05 * size
    assert peak_bytes(lambda: None) < 2**20


def test_memory_of_a_call_grows_with_its_audio(side):
    short, long = (
        side.peak_memory(of="training", batch=2, audio_s=audio_s)["bytes"] for audio_s in (1, 20)
    )
    assert long > 5 * max(short, 2**20)


def test_an_utterance_does_not_move_when_another_joins_it(side):
    assert side.batch_error(audio_s=0.5)["relative"] < 1e-5


def test_a_worker_process_answers_line_by_line(tmp_path):
    with Worker(Path(sys.executable), True, tmp_path / "log") as worker:
        build = worker.ask("build", config=model_config(TINY))
        assert Path(build["package"]) == OUR_PACKAGE
        assert len(worker.ask("encode", **CALL, times=2)["seconds"]) == 2
        with pytest.raises(ConfigError, match=r"^fly failed under .*python\S*: AttributeError: "):
            worker.ask("fly")
    assert worker.process.returncode is not None


@pytest.mark.peer
@pytest.mark.skipif(not PEER_PYTHON.is_file(), reason="no tools/espnet_venv")
def test_the_reference_builds_the_same_model_and_answers_the_same_requests(tmp_path):
    side = Side()
    ours = side.build(model_config(TINY))
    with Worker(PEER_PYTHON, False, tmp_path / "log") as worker:
        theirs = worker.ask("build", config=model_config(TINY))
        assert theirs["espnet"] == "202511"
        assert OUR_PACKAGE not in Path(theirs["package"]).parents
        assert theirs["parameters"] == ours["parameters"]
        assert worker.ask("encode", **CALL)["seconds"][0] > 0
        assert worker.ask("train_step", **CALL)["seconds"][0] > 0
        assert len(worker.ask("mask", batch=4, frames=100, times=2)["seconds"]) == 2
        assert worker.ask("peak_memory", of="training", **CALL)["bytes"] >= 0
        # The reference's features depend on the batch: the figure that ours must not show.
        assert worker.ask("batch_error", audio_s=0.5)["relative"] > 0.01
