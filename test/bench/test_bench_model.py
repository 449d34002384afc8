"""``bench model``: the rows it makes of the answers, what it refuses, and one run of it."""

import re
import sys
from pathlib import Path

import pytest

from espnet2.bench.model import PEER_PYTHON, duration, memory_row, refuse_unlike, speed_row, waited
from espnet2.bench.sides import OUR_PACKAGE
from espnet2.bench.sizes import FULL, model_config
from espnet2.bin.bench import RECORD, default_record, main
from espnet2.ssl.config import SSLModelConfig
from espnet2.utils.errors import ConfigError

OURS = {"package": str(OUR_PACKAGE), "espnet": None, "parameters": 1000}
THEIRS = {"package": "/elsewhere/espnet2", "espnet": "202511", "parameters": 1000}


def timed(seconds, cpu_s):
    return {"seconds": seconds, "cpu_s": cpu_s}


def test_a_ratio_is_taken_within_its_round():
    # The machine was three times slower in the second round; the ratio does not see it.
    seconds = [(1.0, 2.0), (3.0, 6.6), (1.0, 2.5)]
    rounds = [[timed([ours], 0), timed([peer, 99.0, 0.1], 0)] for ours, peer in seconds]
    assert speed_row("encode", rounds) == (
        "encode", "1.00 s", "2.50 s", "2.20 × as fast", "2.00 to 2.50",
    )  # fmt: skip


def test_a_busy_machine_shows():
    assert waited([[timed([1.0, 1.0], 1.0), timed([2.0], 2.0)]]) == 0.25
    assert waited([[timed([1.0], 1.001), timed([1.0], 1.0)]]) == 0


def test_memory_is_a_share_of_the_peers():
    answers = [{"bytes": 300 * 2**20}, {"bytes": 1200 * 2**20}]
    assert memory_row("step", answers) == ("step", "300 MiB", "1,200 MiB", "0.25 of it", "–")


def test_times_are_in_seconds_or_below_one_in_milliseconds():
    assert [duration(s) for s in (0.0012, 0.9996, 12.3)] == ["1.20 ms", "999.60 ms", "12.30 s"]


def test_the_full_size_is_the_one_the_targets_are_set_for():
    config = SSLModelConfig.from_espnet(model_config(FULL))
    assert (config.encoder.output_size, config.encoder.num_blocks) == (256, 8)
    assert config.frontend.shapes[0] == (512, 10, 5)
    assert (config.masker.mask_prob, config.masker.mask_selection) == (0.8, "uniform")
    assert (FULL.batch, FULL.audio_s, FULL.masks, FULL.mask_frames) == (4, 10, 32, 1000)


def refusal(builds, python):
    """What ``refuse_unlike`` says, or None where it accepts."""
    try:
        refuse_unlike(builds, python)
    except ConfigError as error:
        return str(error)


def test_only_the_references_own_environment_must_not_find_this_package():
    assert refusal([OURS, THEIRS], PEER_PYTHON) is None
    assert refusal([OURS, OURS], Path("/another/python3")) is None
    assert refusal([OURS, OURS], PEER_PYTHON).startswith(
        f"{PEER_PYTHON} finds this package instead of PyPI's espnet; delete "
    )


def test_models_of_different_size_are_not_compared():
    message = refusal([OURS, {**THEIRS, "parameters": 999}], PEER_PYTHON)
    assert "different models of one configuration: 1,000 and 999 parameters" in message


def test_without_the_reference_one_line_says_how_to_install_it(tmp_path):
    with pytest.raises(ConfigError) as error:
        main(["model", "--tiny", "--no_save", "--peer_python", str(tmp_path / "none")])
    assert str(error.value) == (
        f"{tmp_path}/none is not there: install the reference with tools/install.sh "
        "--with_espnet, or give --peer_python"
    )


def test_figures_go_to_the_checkouts_file_and_trials_do_not():
    assert default_record(is_tiny=False) == RECORD
    assert RECORD.read_text().startswith("# Benchmarks\n")
    assert default_record(is_tiny=True) is None


def test_a_run_prints_its_table_and_adds_it_to_the_file(tmp_path, capsys):
    record = tmp_path / "record.md"
    record.write_text("# Benchmarks\n")
    options = ["--tiny", "--rounds", "2", "--peer_python", sys.executable, "--save", str(record)]
    assert main(["model", *options]) == 0
    text = capsys.readouterr().out
    assert record.read_text() == "# Benchmarks\n\n" + text
    assert "- command: `python3 -m espnet2.bin.bench model --tiny --rounds 2 --peer_" in text
    assert "### The encoder beside this package again, tiny, one CPU thread" in text
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if "|" in line]
    assert [row[0] for row in rows] == [
        "what",
        "---",
        "encode 2 × 0.5 s",
        "encode 2 × 0.5 s: peak extra memory",
        "training step, 2 × 0.5 s",
        "training step, 2 × 0.5 s: peak extra memory",
        "draw 4 masks of 100 frames",
    ]
    for row in (rows[2], rows[4], rows[6]):
        assert re.fullmatch(r"\d+\.\d\d × as fast", row[3])
        assert re.fullmatch(r"\d+\.\d\d to \d+\.\d\d", row[4])
    assert "- Times are medians of 2 rounds" in text
    assert re.search(r"waited for the processor in \d+% of their time", text)
