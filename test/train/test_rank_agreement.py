"""Which weights count as the same, and which rank is the odd one (ranks: test_parallel.py)."""

import pytest
import torch
from torch import nn

from espnet2.train.agreement import checksum, odd_ranks, refuse_diverged
from espnet2.train.distributed import World

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("sums", "odd"),
    [
        ([5, 5, 5, 5], []),
        ([5, 5, 4, 5], [2]),
        ([9, 5, 5, 5], [0]),
        ([5, 4], [1]),  # of two, rank 0 is believed: it writes the checkpoints
        ([1, 2, 2, 3, 2], [0, 3]),
    ],
)
def test_the_ranks_that_most_others_do_not_agree_with_are_odd(sums, odd):
    assert odd_ranks(sums) == odd


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_every_bit_of_every_weight_and_buffer_counts(dtype):
    model = nn.BatchNorm1d(3).to(dtype)
    seen = {int(checksum(model, CPU))}
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        bits = model.state_dict()[name].reshape(-1).view(torch.uint8)
        bits[0] ^= 1
        seen.add(int(checksum(model, CPU)))
    assert len(seen) == 6


def test_a_weight_that_is_not_a_number_equals_itself():
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, torch.nan)
    assert checksum(model, CPU) == checksum(model, CPU)


def test_one_rank_has_nobody_to_differ_from():
    assert refuse_diverged(nn.Linear(1, 1), World(), 3) is None  # nor a group to ask
