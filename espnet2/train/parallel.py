"""A model that learns on several ranks: alone, replicated (DDP) or sharded (FSDP2).

State goes in and out whole and under the bare model's names: a checkpoint of one kind and number of
ranks goes on in any other.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import register_dataclass

from espnet2.nn.loss_output import LossOutput
from espnet2.train.config import TrainConfig
from espnet2.train.distributed import World

HOOKS = {None: default_hooks.allreduce_hook, "bf16": default_hooks.bf16_compress_hook}


class Parallel:
    """A model of which every rank computes its part of the batch; gradients are means over ranks.

    ``model`` stays the bare one, with its own names. This class is for one rank alone.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = self.training_model = model

    def __call__(self, **batch: Tensor) -> LossOutput:
        """The model's output; ``backward`` on it exchanges gradients."""
        return self.training_model(**batch)

    def without_sync(self) -> contextlib.AbstractContextManager:
        """Inside it gradients stay on their rank, to be exchanged with those of a later batch."""
        return contextlib.nullcontext()

    def model_state(self) -> dict[str, Tensor]:
        """The whole model by its own names (see ``whole``); every rank must call it."""
        return whole(self.model.state_dict())

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """The whole state of ``optimizer``, as torch's own (``whole``); every rank must call it."""
        state = optimizer.state_dict()
        return {**state, "state": {i: whole(part) for i, part in state["state"].items()}}

    def load(
        self,
        model_state: Mapping[str, Tensor],
        optimizer_state: dict[str, Any],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Take over what ``model_state`` and ``optimizer_state`` gave, on any number of ranks.

        The optimiser may keep its tensors and change them: give it its own.

        Raises:
            RuntimeError: the tensors are of another model, in torch's words.
        """
        self.model.load_state_dict(like(model_state, self.model.state_dict()), strict=True)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        state = {
            i: like(part, dict.fromkeys(part.keys() - {"step"}, parameters[i]))
            for i, part in optimizer_state["state"].items()
        }
        optimizer.load_state_dict({**optimizer_state, "state": state})

    def exposed_s(self) -> float:
        """Seconds since the last call that this rank waited for gradients; 0.0 if not measured."""
        return 0.0


class Replicated(Parallel):
    """DDP: every rank holds the whole model, gradients are reduced while backward runs."""

    def __init__(self, model: nn.Module, hook: str | None) -> None:
        super().__init__(model)
        # Without device_ids it leaves its inputs where they are: lengths stay on the host.
        self.training_model = DistributedDataParallel(model, gradient_as_bucket_view=True)
        self.training_model.register_comm_hook(None, self.timed(HOOKS[hook]))
        self.waits: list[tuple[Any, Any]] = []  # (start, end) since the last reading

    def without_sync(self) -> contextlib.AbstractContextManager:
        """DDP's own."""
        return self.training_model.no_sync()

    def timed(self, hook: Callable) -> Callable:
        """``hook`` that notes when its last bucket is sent and when it has come back."""

        def timed_hook(group: Any, bucket: distributed.GradBucket) -> Future[Tensor]:
            start = moment(bucket.buffer().device) if bucket.is_last() else None
            future = hook(group, bucket)
            return future if start is None else future.then(functools.partial(self.note, start))

        return timed_hook

    def note(self, start: Any, future: Future[Tensor]) -> Tensor:
        """Keep one wait; runs where the bucket arrives, on a GPU in that stream's order."""
        reduced = future.value()
        self.waits.append((start, moment(reduced.device)))
        return reduced

    def exposed_s(self) -> float:
        """Seconds since the last call in which gradients travelled and nothing was computed.

        From the launch of the last bucket's reduction, which the end of the backward pass begins,
        to its arrival; waiting for slower ranks is part of it. Clock: events on a GPU, read here
        only, else the host's.
        """
        waits, self.waits = self.waits, []
        return sum(seconds_between(*wait) for wait in waits)


class Sharded(Parallel):
    """FSDP2: every rank holds a part of each tensor and gathers a block when it is needed."""

    def __init__(self, model: nn.Module, world: World) -> None:
        super().__init__(model)
        loss_output_is_tree()
        mesh = distributed.init_device_mesh(world.device.type, (world.size,))
        for block in getattr(getattr(model, "encoder", None), "encoders", ()):
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)

    @contextlib.contextmanager
    def without_sync(self) -> Iterable[None]:
        """Keep whole gradients on this rank until the next backward outside."""
        self.model.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            self.model.set_requires_gradient_sync(True)


def build_parallel(model: nn.Module, config: TrainConfig, world: World) -> Parallel:
    """``model`` (on the world's device) as ``config.parallel`` asks; one rank is always alone."""
    if world.size == 1:
        return Parallel(model)
    if config.parallel == "fsdp":
        return Sharded(model, world)
    return Replicated(model, config.ddp_comm_hook)


def whole(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """``tensors`` with shards gathered; every rank that holds shards must call it."""
    return {name: gathered(t) if isinstance(t, DTensor) else t for name, t in tensors.items()}


def gathered(shard: DTensor) -> Tensor:
    """The whole tensor in the host's memory on rank 0; on the others one without data (meta).

    A model that is sharded may be too large for one GPU: there it is whole one tensor at a time.
    """
    tensor = shard.full_tensor().detach()
    return tensor.cpu() if distributed.get_rank() == 0 else tensor.to("meta")


def like(tensors: Mapping[str, Any], models: Mapping[str, Any]) -> dict[str, Any]:
    """Whole ``tensors`` cut into shards where ``models`` of the same name and shape are shards."""
    return {name: shard_like(tensor, models.get(name)) for name, tensor in tensors.items()}


def shard_like(tensor: Any, model: Any) -> Any:
    """This rank's part of ``tensor``, without talking to others; itself if ``model`` is whole."""
    if not isinstance(model, DTensor) or tensor.shape != model.shape:
        return tensor
    mesh = model.device_mesh
    return distribute_tensor(
        tensor.to(mesh.device_type), mesh, model.placements, src_data_rank=None
    )


def moment(device: torch.device) -> Any:
    """Now: an event in a GPU's current stream, or seconds of the host's clock."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def seconds_between(start: Any, end: Any) -> float:
    """Seconds from one ``moment`` to another; waits for a GPU to get there."""
    if isinstance(start, float):
        return end - start
    end.synchronize()
    return start.elapsed_time(end) / 1000


@functools.cache
def loss_output_is_tree() -> None:
    """Let FSDP find the tensors in a ``LossOutput``, where it hooks the backward pass."""
    register_dataclass(LossOutput)
