"""The mini recipe's experiment on noise: real shells, nothing is trained."""

import shlex
import subprocess
from pathlib import Path

import pytest

from espnet2.train.cells import cells, finetune_config
from espnet2.train.pretrain import split_options
from espnet2.utils.config import load_section, load_seed

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "egs2/mini/ssl1/local/noise_arms.sh"


def drive(*options):
    return subprocess.run([SCRIPT, *options], capture_output=True, text=True, cwd="/", check=False)


@pytest.fixture(scope="module")
def commands():
    """Words of every command of the package it would run, for two seeds."""
    result = drive("--dry_run", "--seeds", "2")
    assert result.returncode == 0, result.stderr
    lines = [shlex.split(line) for line in result.stdout.splitlines()]
    return [words[2:] for words in lines if words[1:2] == ["-m"]]


def of(commands, name):
    return [words for words in commands if words[0] == f"espnet2.bin.{name}"]


def value(words, option):
    return words[words.index(option) + 1]


def sections(words, name):
    conf = Path(value(words, "--conf"))
    settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    return load_section(conf, name, settings), load_seed(conf, settings)


def test_every_arm_is_pretrained_with_each_seed_on_one_set_of_labels(commands):
    found = {}
    for words in of(commands, "pretrain"):
        section, seed = sections(words, "pretrain")
        config = split_options(section)[1]
        last = config.phases[-1]
        facts = (last.noise_prob, last.rir_prob, len(config.phases))
        found[value(words, "--exp")] = (seed, *facts)
        assert value(words, "--labels_tag") == "mini"
    assert found == {
        f"exp/noise_arms/{arm}_s{seed}/ssl_mini": (seed, *facts)
        for seed in (1, 2)
        for arm, facts in (
            ("clean", (0.0, 0.0, 2)),
            ("paper", (0.2, 0.3, 2)),
            ("late", (0.1, 0.1, 3)),
        )
    }


def test_every_export_has_a_probe_and_every_probe_its_corrupted_tests(commands):
    [finetune] = of(commands, "finetune")
    config = finetune_config(sections(finetune, "finetune")[0], "conf")
    exports = {value(words, "--out") for words in of(commands, "export")}
    used = {str(spec.path) for spec in config.encoders.values() if spec.kind == "export"}
    assert used == exports
    assert {cell.task for cell in cells(config)} == {"joint"}
    assert sorted(config.encoders) == [
        "clean_s1", "clean_s2", "fbank", "late_s1", "late_s2", "paper_s1", "paper_s2",
        "random_s1", "random_s2",
    ]  # fmt: skip
    [score] = of(commands, "score")
    assert list(finetune_config(sections(score, "finetune")[0], "conf").corrupted) == [
        "test_noise_room", "test_noise", "test_room",
    ]  # fmt: skip
    [compare] = of(commands, "compare_arms")
    assert value(finetune, "--seeds") == value(score, "--seeds") == "1"
    assert value(compare, "--scores") == value(score, "--out")
    assert value(compare, "--against") == "clean"


def test_the_seed_of_the_recipe_does_not_change_the_tests(commands):
    [made] = of(commands, "superb_data")
    assert sections(made, "finetune")[1] == 1  # of one run, whatever the seeds of pre-training
    assert not any("seed=" in word for word in made)


def test_an_arm_it_does_not_know_stops_it_with_status_2():
    result = drive("--dry_run", "--arms", "clean dirty")
    assert result.returncode == 2
    assert "--arms takes clean, paper and late, got 'dirty'" in result.stderr
