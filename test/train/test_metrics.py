"""Sums on the device, and files of rows that go back with the run."""

from pathlib import Path

import pytest
import torch

from espnet2.train.distributed import World
from espnet2.train.metrics import Meters, MetricsFile, append, read_metrics
from espnet2.utils.errors import DataError


def test_a_meter_is_a_ratio_of_sums_not_a_mean_of_ratios():
    meters = Meters()
    meters.add("acc", torch.tensor(1.0), torch.tensor(2.0))
    meters.add("acc", torch.tensor(1), torch.tensor(8))
    meters.add("nothing", torch.tensor(0.0), torch.tensor(0.0))
    assert meters.read(World()) == {"acc": 0.2}
    assert meters.read(World()) == {}


def test_resuming_drops_later_rows_and_a_cut_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path, resumed_step=0)
    for step in (10, 20, 30):
        first.add({"split": "train", "step": step, "loss": 1.0})
    with open(path, "a") as file:
        file.write('{"split": "tr')
    again = MetricsFile(path, resumed_step=20)
    again.add({"split": "train", "step": 30, "loss": 0.5})
    assert [(row["step"], row["loss"]) for row in read_metrics(path)] == [
        (10, 1.0), (20, 1.0), (30, 0.5),
    ]  # fmt: skip


def test_a_cut_line_goes_even_where_no_row_is_too_late(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    MetricsFile(path, resumed_step=5).add({"step": 6})
    assert path.read_text() == '{"step": 1}\n{"step": 6}\n'


def test_a_damaged_line_is_named_instead_of_taking_the_rest_with_it(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"st\x00\x00\n{"step": 3}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl:2 is damaged: mend or delete that line"):
        MetricsFile(path, resumed_step=3)
    assert path.read_text().endswith('{"step": 3}\n')


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_says_which_file_it_was():
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        append(Path("/dev/full"), "a row\n")
