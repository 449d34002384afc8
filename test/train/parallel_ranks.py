"""Steps of a small model alone, replicated and sharded; as a script, one rank that leaves results.

``python parallel_ranks.py FOLDER`` writes FOLDER/rank<n>.pth.
"""

import contextlib
import copy
import sys
from pathlib import Path

import torch
from tiny_training import WIDTH, TinyBatches, tiny_config
from torch import distributed, nn

from espnet2.nn.loss_output import LossOutput
from espnet2.train.agreement import refuse_diverged
from espnet2.train.config import OptimConfig
from espnet2.train.distributed import joined
from espnet2.train.optim import build_optimizer, clipped_step
from espnet2.train.parallel import build_parallel
from espnet2.utils.errors import TrainingError

ODD = 7  # rows that two ranks cannot share evenly
BAD_STEP, HALF, STEPS = 2, 5, 9
KINDS = {"ddp": {}, "fsdp": {"parallel": "fsdp"}, "bf16": {"ddp_comm_hook": "bf16"}}


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoders = nn.ModuleList(nn.Linear(ODD, ODD) for _ in range(2))

    def forward(self, x):
        for block in self.encoders:
            x = torch.tanh(block(x))
        return x


class SmallModel(nn.Module):
    """Regression through blocks that lie where the speech model's do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.first, self.encoder, self.last = nn.Linear(WIDTH, ODD), Blocks(), nn.Linear(ODD, 1)

    def forward(self, x, y, w, speech_lengths):
        error = (self.last(self.encoder(self.first(x))).squeeze(-1) - y) ** 2 * w
        return LossOutput(loss_sum=error.sum(), weight=w.sum())


class Run:
    """A model with its optimiser on the ranks of ``world``."""

    def __init__(self, world, accum_grad, **kind):
        self.world, self.accum_grad = world, accum_grad
        model = SmallModel()
        self.parallel = build_parallel(model, tiny_config(**kind), world)
        self.optimizer = build_optimizer(model.parameters(), "adamw", OptimConfig(lr=0.02))
        self.norms = []

    def steps(self, start, stop):
        """Steps from ``start`` to ``stop``; one of them has a gradient that is not finite."""
        world = self.world
        source = TinyBatches(world.rank, world.size, self.accum_grad, bad_steps=(BAD_STEP,))
        for step in range(start, stop):
            weight = torch.zeros(())
            batches = source.batch(step)
            for batch in batches:
                is_last = batch is batches[-1]
                with contextlib.nullcontext() if is_last else self.parallel.without_sync():
                    output = self.parallel(**batch)
                    output.loss_sum.backward()
                weight = weight + output.weight
            norm, skipped = clipped_step(self.optimizer, world.sum(weight) / world.size, 1.0)
            self.norms.append((float(norm), float(skipped)))
        return self

    def state(self):
        """Model and optimiser as a checkpoint has them, on their own memory."""
        whole = self.parallel.model_state(), self.parallel.optimizer_state(self.optimizer)
        return copy.deepcopy(whole)

    def load(self, state):
        self.parallel.load(*copy.deepcopy(state), self.optimizer)  # torch takes them over
        return self


def shared(state, path, world):
    """Rank 0's ``state`` on every rank, through a file as a checkpoint goes."""
    if world.is_first:
        torch.save(state, path)
    distributed.barrier()
    return torch.load(path, weights_only=True)


def results(world, folder):
    """What the tests look at."""
    found = {}
    for name, kind in KINDS.items():
        run = Run(world, 2, **kind).steps(0, HALF)
        half = shared(run.state(), folder / f"{name}_half.pth", world)
        run.steps(HALF, STEPS)
        end = run.state()
        found[name] = {
            "half": half, "end": end, "norms": run.norms,
            "devices": sorted({tensor.device.type for tensor in end[0].values()}),
            "shared end": shared(end, folder / f"{name}_end.pth", world),
            "exchanges": len(getattr(run.parallel, "waits", [])),
            "exposed": [run.parallel.exposed_s(), run.parallel.exposed_s()],
        }  # fmt: skip
        others = {
            other: Run(world, 2, **KINDS[other]).load(half).steps(HALF, STEPS).state()[0]
            for other in ("ddp", "fsdp")
        }
        found[name]["gone on as"] = others
        found[name]["diverged"] = said_of_divergence(run, world)
    return found


def said_of_divergence(run, world):
    """What the comparison of weights says before and after one bit changes on rank 1."""
    said = []
    for _ in range(2):
        try:
            refuse_diverged(run.parallel.model, world, 9)
            said.append("")
        except TrainingError as error:
            said.append(str(error))
        weight = run.parallel.model.last.bias
        if world.rank == 1 and type(weight.data) is torch.Tensor:
            weight.data.view(torch.int32)[0] ^= 1
    return said


if __name__ == "__main__":
    results_folder = Path(sys.argv[1])
    with joined() as here:
        torch.save(results(here, results_folder), results_folder / f"rank{here.rank}.pth")
