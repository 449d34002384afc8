"""Whether all ranks hold the same weights: those that differ train different models."""

from collections import Counter

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from espnet2.train.distributed import World
from espnet2.utils.errors import TrainingError

BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes an element


@torch.no_grad()
def refuse_diverged(model: nn.Module, world: World, step: int) -> None:
    """Compare the bits of all ranks' weights through one all-reduce.

    Shards have nothing to compare. Reads the device: call it at intervals, on every rank.

    Raises:
        TrainingError: on every rank, naming those whose weights are not those of most ranks.
    """
    if world.size == 1:
        return
    sums = torch.zeros(world.size, dtype=torch.int64, device=world.device)
    sums[world.rank] = checksum(model, world.device)
    odd = odd_ranks(world.sum(sums).tolist())
    if odd:
        raise TrainingError(
            f"step {step}: the weights of rank {', '.join(map(str, odd))} of {world.size} differ "
            "from those of the other ranks; nothing of this step was saved: run the same command "
            "to go on from the last checkpoint, and if it happens again test that machine's memory"
        )


def checksum(model: nn.Module, device: torch.device) -> Tensor:
    """Sum (int64, wraps round) of the bits of every weight and buffer that is whole here."""
    total = torch.zeros((), dtype=torch.int64, device=device)
    for tensor in model.state_dict().values():
        if not isinstance(tensor, DTensor):
            total += tensor.contiguous().view(BITS[tensor.element_size()]).sum()
    return total


def odd_ranks(sums: list[int]) -> list[int]:
    """Ranks whose sum is not the most frequent one; among equals rank 0's side is right."""
    count = Counter(sums)  # keeps the order: the first of equals wins
    common = count.most_common(1)[0][0]
    return [rank for rank, value in enumerate(sums) if value != common]
