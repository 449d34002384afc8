import pytest
from planned_sets import make_index

from espnet2.bin.plan import main, readable
from espnet2.data.plan import Plan
from espnet2.utils.files import read_json, write_text

RECIPE = """
plan: {batch_bins: 64000, num_buckets: 2}
pretrain: {max_steps: 600}
"""


@pytest.fixture
def run(tmp_path, capsys):
    """Plans the sets of a dump folder with more settings; returns what is printed."""
    make_index(tmp_path / "dump/train", [16_000] * 40 + [32_000] * 40)
    make_index(tmp_path / "dump/valid", [16_000] * 4)
    write_text(tmp_path / "conf.yaml", RECIPE)

    def call(*settings):
        arguments = ["--conf", str(tmp_path / "conf.yaml"), "--dump", str(tmp_path / "dump"),
                     "--log_dir", str(tmp_path / "log")]  # fmt: skip
        status = main([*arguments, *(part for s in settings for part in ("--set", s))])
        assert status == 0
        return capsys.readouterr().out.splitlines()

    return call


def test_a_plan_tells_what_a_pass_and_the_run_cost(run):
    table, short, long, one_pass, steps = run()
    assert table.split() == ["length", "s", "rows", "batch", "steps"]
    assert short.split() == ["1.00", "40", "4", "10.0"]
    assert long.split() == ["2.00", "40", "2", "20.0"]
    assert one_pass == (
        "one pass: 0.03 h of 0.03 h, 30.0 steps, 0.0 % cropped off, 0 utts dropped; "
        "reads 0.6 MB of FLAC; labels take 0.0 MB"
    )
    assert steps == "600 steps: 20.0 passes, 0.7 h of audio, 12.8 MB read"


def test_gpu_hours_are_told_where_a_throughput_is_stated_and_change_no_plan(run, tmp_path):
    run()
    before = read_json(tmp_path / "dump/train/plan/.plan.done")
    fingerprint = Plan.open(tmp_path / "dump/train/plan").fingerprint
    *_, last = run("plan.hours_per_gpu_hour=0.5")
    assert last == "at 0.5 h of audio a GPU-hour: 1.3 GPU-hours"
    assert read_json(tmp_path / "dump/train/plan/.plan.done") == before
    assert Plan.open(tmp_path / "dump/train/plan").fingerprint == fingerprint


def test_another_index_is_planned_again(run, tmp_path):
    run()
    before = read_json(tmp_path / "dump/train/plan/.plan.done")
    make_index(tmp_path / "dump/train", [16_000] * 41)
    run()
    assert read_json(tmp_path / "dump/train/plan/.plan.done") != before
    assert Plan.open(tmp_path / "dump/train/plan").summary["utterances"] == 41


def test_bytes_are_told_in_a_unit_that_fits():
    sizes = [readable(size) for size in (400_000, 2.5e9, 61.3e12)]
    assert sizes == ["0.4 MB", "2.5 GB", "61.3 TB"]
