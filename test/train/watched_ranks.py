"""A rank that comes to harm in the middle of a run: ``python watched_ranks.py FOLDER HARM``."""

import os
import signal
import sys
import time
from pathlib import Path

import torch
from tiny_training import TinyBatches, TinyModel, tiny_config
from torch.utils.data import DataLoader

from espnet2.train.distributed import joined
from espnet2.train.loop import train
from espnet2.utils.cli import run_main
from espnet2.utils.processes import loader_workers

WATCHDOG_S = 6
STEP = 5  # before it, harm comes to the last rank


def change_a_bit(model):
    model.layers[0].bias.data.view(torch.int32)[0] ^= 1


HARMS = {
    "stop": lambda model: os.kill(os.getpid(), signal.SIGSTOP),
    "kill": lambda model: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda model: time.sleep(1000),
    "diverge": change_a_bit,
    "none": lambda model: None,
}


class HarmfulBatches(TinyBatches):
    """Batches from a loader process; ``harm`` comes over the rank between two of them."""

    def __init__(self, folder, harm, model, world):
        super().__init__(world.rank, world.size)
        self.folder, self.harm, self.model = folder, harm, model

    def __getitem__(self, step):
        time.sleep(0.05)
        return self.batch(step)

    def loader(self, start, stop, num_workers):
        loader = DataLoader(
            self, batch_size=None, sampler=range(start, stop),
            collate_fn=lambda batches: batches, **loader_workers(1),
        )  # fmt: skip
        for step, batches in enumerate(loader, start):
            if step == STEP and self.rank == self.world - 1:
                (self.folder / "harmed").touch()
                HARMS[self.harm](self.model)
            yield batches


def main():
    folder, harm = Path(sys.argv[1]), sys.argv[2]
    with joined(timeout_s=WATCHDOG_S) as world:
        model = TinyModel()
        config = tiny_config(max_steps=5000, watchdog_s=WATCHDOG_S, save_interval_steps=4)
        train(model, HarmfulBatches(folder, harm, model, world), config, folder / "exp", world)


if __name__ == "__main__":
    run_main(main)
