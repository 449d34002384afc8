"""Two real ranks (gloo): what one hears counts for both, and both know all that is reported.

``python test_reporter_ranks.py FOLDER`` is one rank.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_training import tiny_config

from espnet2.nn.loss_output import FrameOutcome, LossOutput
from espnet2.train.distributed import joined
from espnet2.train.memory import memory_gib
from espnet2.train.metrics import read_metrics
from espnet2.train.reporter import Reporter

ROOT = Path(__file__).resolve().parents[2]
HELD_MIB = 200  # by the second rank


def step_of(rank):
    """The second rank has other labels, another language, and the double loss."""
    labels = torch.arange(8).view(2, 4) + 8 * rank
    frames = FrameOutcome(
        labels=labels, predictions=torch.full_like(labels, rank),
        loss=torch.full((2, 4), 2.0 + 2 * rank), is_masked=torch.ones(2, 4, dtype=torch.bool),
    )  # fmt: skip
    loss = frames.loss.sum()
    batch = {
        "speech_lengths": torch.tensor([16_000, 16_000]),
        "languages": torch.full((2, 4), rank, dtype=torch.int16),
    }
    return LossOutput(loss_sum=loss, weight=torch.tensor(8.0), frames=frames), batch


def one_rank(folder):
    with joined() as world:
        held = torch.ones(world.rank * HELD_MIB * 2**18)
        reporter = Reporter(
            folder, tiny_config(max_steps=4), world, 0, {}, languages=["deu", "eng"]
        )
        reporter.clock.exposed_s = lambda: 20.0 * world.rank
        reporter.clock.begun -= 100
        reporter.drawn_at -= 601 * world.is_first  # only its clock decides
        for step in (1, 2):
            reporter.add(*step_of(world.rank))
            reporter.add_step(torch.tensor(1.0), torch.tensor(0.0), 0.01)
            row = reporter.report_if_due(step, force=step == 2)
        told = {"row": row, "paused_s": reporter.clock.paused_s, "held": len(held)}
        told["own_gib"] = memory_gib(world.device)
        (folder / f"rank{world.rank}.json").write_text(json.dumps(told))
        if not world.is_first:
            reporter.alarm("only the first rank writes")
        reporter.finish(2)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reporting")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ranks = []
    for rank in "01":
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "MASTER_PORT": port}
        place |= {"MASTER_ADDR": "127.0.0.1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, str(folder)]
        ranks.append(subprocess.Popen(command, env={**os.environ, **place}, stderr=subprocess.PIPE))
    for rank in ranks:
        _, err = rank.communicate(timeout=120)
        assert rank.returncode == 0, err.decode()
    return folder, *(json.loads((folder / f"rank{rank}.json").read_text()) for rank in "01")


def test_a_row_is_of_all_ranks_and_known_to_all(told):
    folder, first, second = told
    row = first["row"]
    assert row == second["row"] == read_metrics(folder / "metrics.jsonl")[-1]
    assert row["loss"] == 3.0
    assert row["label_entropy"] == pytest.approx(4.0)  # sixteen labels
    assert row["prediction_entropy"] == pytest.approx(1.0)
    assert row["clusters_used"] == 2
    assert row["step_s"] == pytest.approx(50, rel=0.1)
    assert row["x_real_time"] == pytest.approx(8 / 100, rel=0.1)


def test_communication_is_the_mean_and_memory_the_most_of_a_rank(told):
    _, first, second = told
    assert first["row"]["communication"] == pytest.approx(0.1, rel=0.1)
    assert second["own_gib"] > first["own_gib"] + HELD_MIB / 1024 / 2  # the first has drawn since
    assert first["row"]["memory_gib"] == pytest.approx(second["own_gib"], abs=0.05)


def test_languages_are_summed_over_the_ranks(told):
    (row,) = [json.loads(line) for line in (told[0] / "languages.jsonl").open()]
    assert row["step"] == 2
    assert {name: values[1:] for name, values in row["languages"].items()} == {
        "deu": [2.0, 0.125], "eng": [4.0, 0.0],
    }  # fmt: skip
    hours = {name: values[0] for name, values in row["languages"].items()}
    assert hours == {"deu": pytest.approx(16 / 180_000, abs=1e-5), "eng": hours["deu"]}


def test_all_ranks_wait_for_the_pictures_and_none_counts_the_time(told):
    folder, first, second = told
    assert (folder / "plots/loss.png").is_file()
    assert min(first["paused_s"], second["paused_s"]) > 0.05


def test_only_the_first_rank_writes(told):
    folder = told[0]
    assert not (folder / "alarms.tsv").exists()
    assert len((folder / "train.log").read_text().splitlines()) == 1


if __name__ == "__main__":
    one_rank(Path(sys.argv[1]))
