"""All 13 stages on minutes of audio: real processes, killed with SIGKILL and started again."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
FOLDERS = {"datadir": "data", "dumpdir": "dump", "expdir": "exp", "downloads": "downloads"}

pytestmark = pytest.mark.integration


def command(place, *options):
    """The mini recipe's driver in a folder of its own, on the tiny configuration."""
    folders = [f"--{option}={place / name}" for option, name in FOLDERS.items()]
    return [
        str(ROOT / "egs2/TEMPLATE/ssl1/ssl.sh"),
        "--recipe_dir", str(place),
        "--conf", str(place / "tiny.yaml"),
        "--corpora", str(HERE / "corpora.yaml"),
        "--data", str(place / "downloads/ml_superb"),
        "--nj", "2", *folders, *options,
    ]  # fmt: skip


def start(place, *options):
    place.mkdir(parents=True, exist_ok=True)
    conf = place / "tiny.yaml"
    if not conf.exists():
        conf.write_text((HERE / "tiny.yaml").read_text())
    return subprocess.Popen(
        command(place, *options),
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A complete run under a path with spaces."""
    place = tmp_path_factory.mktemp("integration") / "my recipe"
    output = finish(start(place))
    return place, output


def test_every_stage_leaves_what_the_next_one_reads(finished):
    place, output = finished
    assert "stage 13 (report)" in output
    assert (place / "dump/espeak/wav.scp").stat().st_size > 0
    export = place / "exp/ssl_tiny/export"
    assert json.loads((export / "export.json").read_text())
    assert (export / "config.yaml").is_file()
    assert "<html" in (place / "exp/report/report.html").read_text()
    assert "lid_unseen_voice" in (place / "exp/report/RESULTS.md").read_text()
    rows = [json.loads(line) for line in (place / "exp/ssl_tiny/metrics.jsonl").open()]
    assert rows[-1]["step"] == 30


def test_a_second_run_does_nothing_and_says_so(finished):
    place, _ = finished
    before = {path: path.stat().st_mtime_ns for path in (place / "exp").rglob("*.pth")}
    began = time.monotonic()
    output = finish(start(place))
    assert "up to date" in output
    assert "failed" not in output
    assert before == {path: path.stat().st_mtime_ns for path in (place / "exp").rglob("*.pth")}
    assert time.monotonic() - began < 60  # seconds even on a busy machine; no stage works again


def test_editing_the_yaml_redoes_only_what_depends_on_it(finished, tmp_path):
    place, _ = finished
    copy = tmp_path / "edited"
    subprocess.run(["cp", "-a", str(place), str(copy)], check=True)
    conf = copy / "tiny.yaml"
    conf.write_text(conf.read_text().replace("num_rirs: 4", "num_rirs: 5"))
    labels = {p: p.stat().st_mtime_ns for p in (copy / "dump").rglob("*.u16")}
    output = finish(start(copy, "--stage=2", "--stop_stage=7"))
    assert labels == {p: p.stat().st_mtime_ns for p in (copy / "dump").rglob("*.u16")}
    assert output.count("up to date") >= 5


def test_a_run_killed_in_each_stage_ends_with_the_same_numbers(finished, tmp_path):
    place, _ = finished
    copy, chance, killed = tmp_path / "killed", random.Random(5), []
    for stage, seconds in sorted(stage_seconds(place).items()):
        only = (f"--stage={stage}", f"--stop_stage={stage}")
        process = start(copy, *only)
        try:
            process.wait(timeout=chance.uniform(0.1, 0.3 + 0.6 * max(seconds - 1, 0)))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            killed.append(stage)
        process.communicate()
        finish(start(copy, *only))
    assert killed == list(range(1, 14))
    assert metrics(copy) == metrics(place)
    assert weights(copy) == weights(place)


def stage_seconds(place):
    """Seconds of each stage in its first run, as whole seconds of the clock: up to one too many."""
    rows = [line.split("\t") for line in (place / "exp/stage_times.tsv").read_text().splitlines()]
    first = {}
    for number, _, seconds in rows[1:]:
        first.setdefault(int(number), int(seconds))
    return first


def metrics(place):
    """Every number of every cell."""
    return {
        str(path.relative_to(place)): json.loads(path.read_text())
        for path in sorted((place / "exp/superb").rglob("score.json"))
    }


def weights(place):
    """Bytes of the exported model."""
    return (place / "exp/ssl_tiny/export/xeus_checkpoint_new.pth").read_bytes()
