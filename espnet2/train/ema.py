"""A running mean of the weights, one tensor a weight beside the model's own."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Ema:
    """``mean = decay * mean + (1 - decay) * weight`` after every step, on the weights' device."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.means = {
            name: tensor.detach().clone()
            for name, tensor in model.state_dict().items()
            if tensor.is_floating_point()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        torch._foreach_lerp_(list(self.means.values()), self.weights(), 1 - self.decay)

    def weights(self) -> list[Tensor]:
        """The model's tensors in the order of ``means``."""
        state = self.model.state_dict()
        return [state[name] for name in self.means]

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside ``with``, the model computes with the means."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the means and the model's weights."""
        for mean, weight in zip(self.means.values(), self.weights(), strict=True):
            kept = weight.clone()
            weight.copy_(mean)
            mean.copy_(kept)

    def state_dict(self) -> dict[str, Tensor]:
        """The means by the names of the model's tensors."""
        return self.means

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from saved means."""
        for name, mean in self.means.items():
            mean.copy_(state[name])
