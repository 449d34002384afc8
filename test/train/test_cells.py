"""The benchmark's matrix: languages, tracks, learning rates, and what differs between them."""

from collections import Counter
from pathlib import Path

import pytest

from espnet2.train.cells import MONOLINGUAL, cells, finetune_config, loop_config
from espnet2.utils.config import load_section
from espnet2.utils.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf"
SECTION = {
    "encoders": {"fbank": {"kind": "fbank"}, "random": {"kind": "random"}},
    "tracks": ["10min", "1h"],
    "tasks": ["mono", "lid"],
    "monolingual": ["eng/mls", "rus/M-AILABS"],
    "learning_rates": [0.001],
    "training": {"max_steps": 30},
    "by_track": {"1h": {"training": {"max_steps": 60}, "batches": {"batch_s": 10}}},
    "by_task": {"mono": {"training": {"max_steps": 3}}},
}


def names(section):
    return [cell.name for cell in cells(finetune_config(section, "test"))]


def test_a_language_is_a_cell_and_the_longest_cells_come_first():
    assert names({**SECTION, "only_encoders": ["fbank"]}) == [
        "lid_1h_lr0.001_seed1",
        "lid_10min_lr0.001_seed1",
        "mono-eng-mls_10min_lr0.001_seed1",
        "mono-rus-M-AILABS_10min_lr0.001_seed1",
        "mono-eng-mls_1h_lr0.001_seed1",
        "mono-rus-M-AILABS_1h_lr0.001_seed1",
    ]


def test_what_a_task_changes_stands_over_what_a_track_changes():
    found = {
        (cell.task, cell.track): (cell.training["max_steps"], cell.batches.batch_s)
        for cell in cells(finetune_config(SECTION, "test"))
    }
    assert found["lid", "10min"] == (30, 80)
    assert found["lid", "1h"] == (60, 10)
    assert found["mono-eng-mls", "10min"] == (3, 80)
    assert found["mono-eng-mls", "1h"] == (3, 10)


def test_only_the_encoders_that_are_asked_for_have_cells():
    used = {cell.encoder_name for cell in cells(finetune_config(SECTION, "test"))}
    assert used == {"fbank", "random"}
    config = finetune_config({**SECTION, "only_encoders": ["random"]}, "test")
    assert {cell.encoder_name for cell in cells(config)} == {"random"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["mono", "asr"]}, "task asr is not one of mono, multi, lid, joint"),
        ({"monolingual": ["eng"]}, "monolingual: 'eng' must be <language>/<corpus>, like eng/mls"),
        ({"monolingual": ["e-n/mls"]}, "'e-n/mls' must be <language>/<corpus>"),
        (
            {"monolingual": ["eng/Vox+"]},
            r"'eng/Vox\+' must be <language>/<corpus>, like eng/mls, of",
        ),
        ({"encoders": {"me/mine": {"kind": "fbank"}}}, "'me/mine' is to name a folder: of a-z"),
        ({"encoders": {".mine": {"kind": "fbank"}}}, "'.mine' is to name a folder: of a-z"),
        (
            {"corrupted": {"test_dialect": {}}},
            "corrupted: 'test_dialect' must be of a-z, 0-9 and _",
        ),
        ({"learning_rates": [1e-4, 1.0000001e-4]}, "learning_rates must differ in six digits"),
        ({"seeds": [-1]}, r"seeds must be at least 0, got \[-1\]"),
        ({"average_best": 0}, "average_best must be at least 1, got 0"),
        (
            {"training": {"max_steps": "3e4"}},
            r"of lid 10min: max_steps must be int, got '3e4' \(str",
        ),
        ({"by_task": {"lid": {"training": 5}}}, "by_task.lid.training must be a mapping, got 5"),
        ({"by_track": {"1h": {"probe": None}}}, "by_track.1h.probe must be a mapping, got None"),
        ({"monolingual": []}, "monolingual must be given and hold nothing twice"),
        ({"monolingual": ["eng/mls"] * 2}, "monolingual must be given and hold nothing twice"),
        ({"corpora": {"mono": ["mls"]}}, "corpora of mono: name them in monolingual"),
        ({"by_track": {"2h": {}}}, "track 2h is not one of 10min, 1h, full"),
        ({"by_track": {"1h": {"seeds": [2]}}}, "by_track may change probe, tune, batches"),
        (
            {"only_encoders": ["fbnk"]},
            r"only_encoders \(--encoders\): fbnk is not one of fbank, random",
        ),
        (
            {"by_track": {"1h": {"probe": {"size": 1}}}},
            "of mono 1h: probe: size is not a known",
        ),
        (
            {"by_task": {"lid": {"tune": {"encoder": "full"}}}},
            r"tune.encoder: full: encoder fbank \(fbank\) has nothing that could learn",
        ),
    ],
)
def test_a_matrix_of_languages_that_cannot_run_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        finetune_config({**SECTION, **changes}, "test")


def test_encoders_that_are_left_out_need_not_be_able_to_learn():
    tuned = {**SECTION, "tasks": ["lid"], "tune": {"encoder": "full"}, "only_encoders": ["random"]}
    assert names(tuned)[0] == "lid_1h_lr0.001_seed1"


def test_no_language_need_be_named_where_none_is_trained_alone():
    assert names({**SECTION, "tasks": ["lid"], "monolingual": []})[0] == "lid_1h_lr0.001_seed1"


def benchmark():
    section = load_section(CONF / "ml_superb.yaml", "finetune")
    return [
        cell for cell in cells(finetune_config(section, "test")) if cell.encoder_name == "fbank"
    ]


def test_the_benchmark_is_16_cells_a_track_and_learning_rate():
    listed = benchmark()
    assert len(listed) == 2 * (13 + 3) * 3
    assert Counter(cell.learning_rate for cell in listed) == {4e-5: 32, 1e-4: 32, 4e-4: 32}
    assert Counter(cell.track for cell in listed) == {"10min": 48, "1h": 48}
    mono = {cell.task for cell in listed if cell.task.startswith("mono-")}
    assert mono == {"mono-" + name.replace("/", "-", 1) for name in MONOLINGUAL}
    assert len({name.split("/")[0] for name in MONOLINGUAL}) == 9


def test_the_benchmark_trains_30_epochs_of_the_published_iterations_each():
    for cell in benchmark():
        training = loop_config(cell, valid_batches=1)
        iterations = 10_000 if cell.track == "10min" else 20_000
        if cell.task.startswith("mono-"):
            iterations = 500
        epoch = iterations // 4
        assert training.accum_grad == 4
        assert training.max_steps == 30 * epoch, cell.name
        assert training.valid_interval_steps == training.intermediate_interval_steps == epoch
        assert (training.optim, training.optim_conf.weight_decay) == ("adam", 1e-6)
        assert (training.scheduler, training.optim_conf.lr) == (None, cell.learning_rate)
        assert cell.average_best == 5
