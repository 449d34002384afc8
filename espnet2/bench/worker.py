"""One side of ``bench model``: build a model, then answer requests to time it.

Loaded by ``answer.py`` in a process of its own, under this package's Python and under the
reference's, so it uses nothing but torch and what both packages call
``espnet2.tasks.ssl.SSLTask``. The first request must be ``build``.

Shapes: B utterances, N samples, T frames.
"""

import copy
import gc
import importlib.metadata
import platform
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

SAMPLE_RATE = 16000  # Hz
WINDOW, HOP = 400, 320  # samples; frame t covers HOP * t to HOP * t + WINDOW
WARM_UP_S = 1.0  # audio of the call before memory is measured


class Side:
    """A model of whichever ``espnet2`` this interpreter finds."""

    def build(self, config: dict) -> dict:
        """Build the model of ESPnet's flat keys, and say whose it is."""
        # Here and not above: what a package prints at import must not mix with the answers.
        import espnet2
        from espnet2.tasks.ssl import SSLTask

        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.model = SSLTask.build_model(Namespace(**config))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4, fused=True)
        self.num_classes = min(loss["conf"]["num_classes"] for loss in config["loss"])
        return {
            "package": str(Path(espnet2.__file__).parent),
            "espnet": distribution_version("espnet"),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "parameters": sum(p.numel() for p in self.model.parameters()),
        }

    def encode(self, batch: int, audio_s: float, times: int = 1) -> dict:
        """Seconds of each of ``times`` calls, in eval mode without gradients."""
        return timed(self.encoding(batch, audio_s), times)

    def train_step(self, batch: int, audio_s: float, times: int = 1) -> dict:
        """Seconds of each of ``times`` forward, backward and optimiser steps in train mode."""
        return timed(self.training(batch, audio_s), times)

    def mask(self, batch: int, frames: int, times: int) -> dict:
        """Seconds of each of ``times`` masks drawn."""
        with torch.no_grad():
            return timed(self.drawing(batch, frames), times)

    def peak_memory(self, of: str, batch: int, audio_s: float) -> dict:
        """Bytes that one call of ``of`` (encoding or training) needs on top of what was resident.

        A short call goes before: lazy set-up and the optimiser's state count as resident.
        """
        make = {"encoding": self.encoding, "training": self.training}[of]
        make(1, WARM_UP_S)()
        return {"bytes": peak_bytes(make(batch, audio_s))}

    def batch_error(self, audio_s: float) -> dict:
        """How far an utterance's last states move when a louder, twice as long one joins it."""
        short, long = noise(1, audio_s), 3 * noise(1, 2 * audio_s)
        beside = torch.nn.functional.pad(short, (0, long.shape[1] - short.shape[1]))
        alone = self.last_states(short, [short.shape[1]])
        joined = self.last_states(torch.cat([beside, long]), [short.shape[1], long.shape[1]])
        difference = joined[:1, : alone.shape[1]] - alone
        return {"relative": (difference.norm() / alone.norm()).item()}

    def last_states(self, speech: Tensor, lengths: list[int]) -> Tensor:
        """Speech (B, N) -> raw output of the last block (B, T, D)."""
        self.model.eval()
        with torch.inference_mode():
            _, layers, _ = self.model.inference_encode(speech, torch.tensor(lengths))
        return layers[-1]

    def encoding(self, batch: int, audio_s: float) -> Callable[[], object]:
        """A call that encodes noise of one length."""
        speech = noise(batch, audio_s)
        return lambda: self.last_states(speech, [speech.shape[1]] * batch)

    def training(self, batch: int, audio_s: float) -> Callable[[], object]:
        """A call that makes one optimiser step on noise with random labels."""
        speech = noise(batch, audio_s)
        frames = (speech.shape[1] - WINDOW) // HOP + 1
        labels = torch.randint(self.num_classes, (batch, frames))
        data = (
            speech, torch.full((batch,), speech.shape[1]), labels, torch.full((batch,), frames),
        )  # fmt: skip

        def step() -> None:
            self.model.train()
            mean_loss(self.model(*data)).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()  # last, so that gradients count as memory of the step

        return step

    def drawing(self, batch: int, frames: int) -> Callable[[], object]:
        """A call that draws masks (B, T) and, as far as the package lets it, does nothing else."""
        if hasattr(self.model, "masker"):
            return lambda: self.model.masker.draw(batch, frames, torch.device("cpu"), None)
        # The reference draws and fills in one call: one number a frame makes the filling free.
        masker = copy.deepcopy(self.model.util_modules["mask"])
        masker.mask_embedding = torch.nn.Parameter(torch.zeros(1))
        x, is_pad = torch.zeros(batch, frames, 1), torch.zeros(batch, frames, dtype=torch.bool)
        return lambda: masker(x, is_pad)


def mean_loss(result: object) -> Tensor:
    """The loss a masked frame, from our named result or the reference's tuple."""
    if hasattr(result, "loss_sum"):
        return result.loss_sum / result.weight
    return result[0]


def noise(batch: int, audio_s: float) -> Tensor:
    """White noise (B, N), the same in every process."""
    generator = torch.Generator().manual_seed(1)
    return 0.1 * torch.randn(batch, int(audio_s * SAMPLE_RATE), generator=generator)


def timed(call: Callable[[], object], times: int) -> dict:
    """Wall-clock seconds of each call, and the processor's seconds in all of them."""
    seconds, cpu_start = [], time.process_time()
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "cpu_s": time.process_time() - cpu_start}


def peak_bytes(call: Callable[[], object]) -> int:
    """How far resident memory rises during a call, in bytes (Linux)."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = status_bytes("VmRSS")
    call()
    return status_bytes("VmHWM") - before


def status_bytes(key: str) -> int:
    """A size in /proc/self/status (Linux): VmRSS resident now, VmHWM its high-water mark."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")


def distribution_version(name: str) -> str | None:
    """Installed version of a distribution, if any."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
