"""Two real ranks, replicated and sharded, against one process with the whole batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gloo_ranks import start_ranks
from parallel_ranks import BAD_STEP, HALF, STEPS, Run

from espnet2.train.distributed import World

SCRIPT = Path(__file__).with_name("parallel_ranks.py")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Results of both ranks."""
    folder = tmp_path_factory.mktemp("parallel")
    for rank in start_ranks([sys.executable, str(SCRIPT), str(folder)], stderr=subprocess.PIPE):
        _, error = rank.communicate()
        assert rank.returncode == 0, error.decode()
    return [torch.load(folder / f"rank{rank}.pth", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone():
    """One process with accumulation over four micro-batches."""
    return Run(World(), 4).steps(0, STEPS)


def assert_close(one, other, atol=1e-6):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, atol=atol, rtol=0)


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_ranks_with_accumulation_equal_one_process(ranks, alone, kind):
    for rank in ranks:
        assert_close(alone.state()[0], rank[kind]["shared end"][0])
        assert [skipped for _, skipped in rank[kind]["norms"]] == [
            float(step == BAD_STEP) for step in range(STEPS)
        ]
        for (norm, _), (other, _) in zip(rank[kind]["norms"], alone.norms, strict=True):
            assert norm == pytest.approx(other, rel=1e-5)


def test_shards_are_whole_on_the_first_rank_alone(ranks):
    assert [rank["fsdp"]["devices"] for rank in ranks] == [["cpu"], ["meta"]]
    assert [rank["ddp"]["devices"] for rank in ranks] == [["cpu"], ["cpu"]]


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_moments_and_names_are_those_of_one_process(ranks, alone, kind):
    optimizer, theirs = alone.state()[1], ranks[0][kind]["end"][1]
    assert optimizer["param_groups"] == theirs["param_groups"]
    for index, moments in optimizer["state"].items():
        assert_close(moments, theirs["state"][index])


@pytest.mark.parametrize("begun", ["ddp", "fsdp"])
@pytest.mark.parametrize("gone_on", ["ddp", "fsdp"])
def test_a_checkpoint_of_one_kind_goes_on_in_the_other(ranks, alone, begun, gone_on):
    assert_close(alone.state()[0], ranks[0][begun]["gone on as"][gone_on])


@pytest.mark.parametrize("begun", ["ddp", "fsdp"])
def test_a_checkpoint_of_two_ranks_goes_on_alone(ranks, alone, begun):
    run = Run(World(), 1).load(ranks[0][begun]["half"]).steps(HALF, STEPS)
    assert_close(alone.state()[0], run.state()[0])


def test_gradients_in_bfloat16_keep_the_ranks_equal_and_the_weights_close(ranks, alone):
    ours, theirs = (rank["bf16"]["end"][0] for rank in ranks)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert_close(alone.state()[0], ours, atol=0.05)  # 8 steps of up to 0.02
    norms = zip(ranks[0]["bf16"]["norms"][:2], alone.norms, strict=False)
    for (norm, _), (other, _) in norms:
        assert norm == pytest.approx(other, rel=2**-6)
        assert norm != pytest.approx(other, rel=2**-20)  # it is not fp32 that was sent


def test_gradients_travel_once_a_step_however_many_micro_batches(ranks):
    for rank in ranks:
        assert [rank[kind]["exchanges"] for kind in ("ddp", "bf16")] == [STEPS, STEPS]


def test_time_spent_on_gradients_alone_is_counted_once(ranks):
    for rank in ranks:
        for kind in ("ddp", "bf16"):
            first, again = rank[kind]["exposed"]
            assert 0 < first < 60
            assert again == 0
        assert rank["fsdp"]["exposed"] == [0, 0]


def test_a_rank_whose_weights_differ_by_a_bit_is_named_on_every_rank(ranks):
    for rank in ranks:
        for kind in ("ddp", "bf16"):
            before, after = rank[kind]["diverged"]
            assert before == ""
            assert after.startswith("step 9: the weights of rank 1 of 2 differ from those of the")
        assert rank["fsdp"]["diverged"] == ["", ""]


def test_tensors_of_another_model_are_refused_by_name():
    run, state = Run(World(), 1), Run(World(), 1).state()
    del state[0]["first.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key\(s\).*first\.weight"):
        run.load(state)
