"""Which GPU a unit sees, on this machine and in a job."""

import os

import pytest
from toy_units import options, plain_unit, processes_and_gpus, speaking_units

from espnet2.utils.errors import ConfigError
from espnet2.utils.lanes import make_lanes, visible_gpus
from espnet2.utils.units import run_units

VISIBLE = "CUDA_VISIBLE_DEVICES"


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A machine of two GPUs, one of them cut into instances."""
    (tmp_path / "nvidia-smi").write_text(
        "#!/bin/sh\necho 'GPU 0: A (UUID: GPU-a)'\necho '  MIG 1g.5gb'\necho 'GPU 1: B'\n"
    )
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv(VISIBLE, raising=False)


def test_each_lane_has_gpus_of_its_own_out_of_the_visible_ones(workplace, monkeypatch):
    monkeypatch.setenv(VISIBLE, "3,5")
    units = speaking_units(workplace, 10, together=2, gpus=1)
    assert run_units(units, options(workplace, nj=1, ngpu=2)) == 0
    seen = processes_and_gpus(units)
    assert {gpu for _, gpu in seen} == {"3", "5"}
    assert len({process for process, _ in seen}) == len(set(seen)) == 5


def test_as_many_units_run_at_once_as_the_gpus_suffice_for(workplace, monkeypatch):
    monkeypatch.setenv(VISIBLE, "0,1,2,3")
    units = [plain_unit(workplace, "meet_three_others", f"meet{i}", gpus=1) for i in range(4)]
    assert run_units(units, options(workplace, nj=1, ngpu=4)) == 0


@pytest.mark.parametrize(("count", "gpus", "ngpu"), [(2, 2, 2), (2, 1, 1), (1, 1, 2), (2, 0, 2)])
def test_a_lone_lane_and_units_without_gpus_see_what_the_stage_sees(
    workplace, monkeypatch, count, gpus, ngpu
):
    monkeypatch.setenv(VISIBLE, "3,5")
    units = speaking_units(workplace, count, gpus=gpus)
    assert run_units(units, options(workplace, ngpu=ngpu)) == 0
    assert {gpu for _, gpu in processes_and_gpus(units)} == {"3,5"}


def test_lanes_of_several_gpus_and_of_gpus_with_long_names(monkeypatch):
    monkeypatch.setenv(VISIBLE, "4, 5,6,7,-1,2")
    assert make_lanes(2, 2) == [{VISIBLE: "4,5"}, {VISIBLE: "6,7"}]
    monkeypatch.setenv(VISIBLE, "GPU-8f1a,MIG-77c0/1/0")
    assert make_lanes(2, 1) == [{VISIBLE: "GPU-8f1a"}, {VISIBLE: "MIG-77c0/1/0"}]
    assert make_lanes(3, 0) == [{}, {}, {}]


@pytest.mark.parametrize(
    ("value", "count"), [("3,5", 2), ("", 0), ("NoDevFiles", 0), ("0,-1,1,2", 1)]
)
def test_too_few_visible_gpus_are_refused(monkeypatch, value, count):
    monkeypatch.setenv(VISIBLE, value)
    with pytest.raises(ConfigError) as caught:
        make_lanes(4, 1)
    assert str(caught.value) == (
        f"4 GPUs are asked for, but {VISIBLE} names {count}; ask for fewer"
    )


def test_without_the_variable_the_machine_is_asked(nvidia_smi, monkeypatch):
    assert make_lanes(2, 1) == [{VISIBLE: "0"}, {VISIBLE: "1"}]
    with pytest.raises(ConfigError, match="3 GPUs are asked for, but this machine has 2; ask"):
        make_lanes(3, 1)
    monkeypatch.setenv("PATH", "")
    assert visible_gpus(4) == ["0", "1", "2", "3"]
