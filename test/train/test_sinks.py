"""Other places for rows: TensorBoard, and Weights & Biases in its offline mode."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_training import tiny_config

from espnet2.train.sinks import open_sinks

ROW = {"split": "train", "loss": 3.0, "lr": 0.01}


def steps_shown(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [event.step for event in events.Scalars("train/loss")]


@pytest.mark.parametrize("is_new_process", [True, False])
def test_tensorboard_forgets_the_steps_that_are_made_again(tmp_path, is_new_process):
    config = tiny_config(use_tensorboard=True)
    sinks = open_sinks(tmp_path, config, 0)
    for step in (2, 4, 6):
        for sink in sinks:
            sink.add(ROW | {"step": step})
    if is_new_process:
        sinks = open_sinks(tmp_path, config, 4)
    for sink in sinks:
        sink.rewind(4)
        sink.add(ROW | {"step": 8})
        sink.close()
    assert steps_shown(tmp_path / "tensorboard") == [2, 4, 8]


def test_only_what_is_asked_for_is_opened(tmp_path):
    (sink,) = open_sinks(tmp_path, tiny_config(), 0)
    sink.add(ROW | {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def in_process_of_its_own(exp_dir, *steps, hide_wandb=False, **variables):
    """Rows of ``steps`` to a WandbRun, in a Python that has seen no other run; returns stderr."""
    code = (
        "import sys\n"
        f"sys.path[:] = {sys.path!r}\n"
        f"if {hide_wandb}: sys.modules['wandb'] = None\n"
        "from pathlib import Path\n"
        "from espnet2.train.wandb_run import WandbRun\n"
        "from espnet2.utils.cli import run_main\n"
        "def main():\n"
        f"    run = WandbRun(Path({str(exp_dir)!r}), None)\n"
        f"    for step in {steps}:\n"
        "        run.add({'split': 'train', 'step': step, 'loss': step / 4})\n"
        "    run.close()\n"
        "run_main(main)\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100,
        env=environment | {"HOME": str(exp_dir)} | variables,
    )  # fmt: skip


def records(path):
    """Records of an offline file of wandb: a header, then LevelDB's log format, here one block."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at = path.read_bytes(), 7
    assert data.startswith(b":W&B")
    assert len(data) < 2**15
    while at + 7 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 6], "little")
        record = Record()
        record.ParseFromString(data[at + 7 : at + 7 + size])
        yield record
        at += 7 + size


def sent_rows(exp_dir):
    """(step, loss) of every row in the offline files of wandb, in the order of its runs."""
    for path in sorted(Path(exp_dir, "wandb").glob("offline-run-*/*.wandb")):
        for record in records(path):
            items = {i.key or i.nested_key[0]: i.value_json for i in record.history.item}
            if items:
                yield json.loads(items["step"]), json.loads(items["train/loss"])


def test_a_missing_wandb_is_one_line_that_says_how_to_get_it(tmp_path):
    done = in_process_of_its_own(tmp_path, hide_wandb=True)
    assert done.returncode != 0
    assert "use_wandb: the package wandb is missing: pip install 'xeus[wandb]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_wandb_gets_every_row_and_a_resumed_run_is_the_same_run(tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'xeus[wandb]'")
    (tmp_path / "config.yaml").write_text("seed: 3\n")
    for steps in ((2, 4), (4, 6)):
        done = in_process_of_its_own(tmp_path, *steps, WANDB_MODE="offline")
        assert done.returncode == 0, done.stderr
    assert list(sent_rows(tmp_path)) == [(2, 0.5), (4, 1.0), (4, 1.0), (6, 1.5)]
    ids = {path.stem for path in tmp_path.glob("wandb/offline-run-*/*.wandb")}
    assert ids == {"run-" + (tmp_path / "wandb_id.txt").read_text().strip()}


def test_wandb_without_a_key_is_one_line(tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'xeus[wandb]'")
    done = in_process_of_its_own(tmp_path, WANDB_MODE="online")
    assert done.returncode != 0
    assert "use_wandb: wandb cannot begin: " in done.stderr
    assert done.stderr.endswith("(wandb login, or WANDB_MODE=offline)\n")
    assert "Traceback" not in done.stderr
