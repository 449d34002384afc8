"""Writes states to the disk in a thread of its own, while training goes on."""

import copy
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor


class Writer:
    """One thread a run, which writes what it is handed, in order.

    At most one state lies in host memory: handing over a second one waits until the first is
    written. What could not be written is raised where the run next looks: in ``check``, at the next
    ``write``, at ``wait`` or ``close``; from then on the run is over.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self.pending: Future | None = None

    def write(self, job: Callable[[Any], None], state: Any) -> None:
        """Copy ``state`` (see ``host_copy``) and let the thread call ``job`` with the copy.

        ``state`` may change as soon as this returns.

        Raises:
            OSError: the state before could not be written.
        """
        self.wait()
        self.pending = self.pool.submit(run, job, *host_copy(state))

    def check(self) -> None:
        """Raise what went wrong, if the thread is done; does not wait for it."""
        if self.pending is not None and self.pending.done():
            self.wait()

    def wait(self) -> None:
        """Wait until everything is written.

        Raises:
            OSError: it could not be; said once.
        """
        pending, self.pending = self.pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """``wait``, and end the thread."""
        try:
            self.wait()
        finally:
            self.pool.shutdown()


def run(job: Callable[[Any], None], state: Any, event: torch.cuda.Event | None) -> None:
    """In the thread: write the copy once the device has finished it."""
    if event is not None:
        event.synchronize()
    job(state)


def host_copy(state: Any) -> tuple[Any, torch.cuda.Event | None]:
    """A copy of nested dicts and lists of tensors in host memory, and when it is complete.

    Tensors of a GPU are copied into pinned memory by the stream that trains: later updates come
    after the copies there, and the host waits for nothing; the event tells when they are done.
    Whatever shares memory shares it in the copy, too, so a file holds the same bytes as one of
    ``state`` itself. Anything but dicts, lists and tensors is taken as it is.
    """
    storages: dict[tuple[torch.device, int], torch.UntypedStorage] = {}
    twin = copied(state, storages)
    if not any(device.type == "cuda" for device, _ in storages):
        return twin, None
    event = torch.cuda.Event()
    event.record()
    return twin, event


def copied(state: Any, storages: dict) -> Any:
    """``host_copy`` of one branch; ``storages`` holds those copied so far."""
    if isinstance(state, Tensor):
        return copied_tensor(state, storages)
    if isinstance(state, dict):
        twin = copy.copy(state)  # an OrderedDict with what hangs on it stays one
        twin.update((key, copied(value, storages)) for key, value in state.items())
        return twin
    if isinstance(state, list):
        return [copied(value, storages) for value in state]
    return state


def copied_tensor(tensor: Tensor, storages: dict) -> Tensor:
    """The same view of a copy of the whole storage."""
    storage = tensor.untyped_storage()
    key = (storage.device, storage.data_ptr())
    if key not in storages or not storage.nbytes():  # empty storages all have one address
        storages[key] = copied_storage(storage)
    view = torch.empty(0, dtype=tensor.dtype)
    return view.set_(storages[key], tensor.storage_offset(), tensor.shape, tensor.stride())


def copied_storage(storage: torch.UntypedStorage) -> torch.UntypedStorage:
    """The bytes of ``storage`` in host memory; torch keeps pinned memory for the next time."""
    is_on_gpu = storage.device.type == "cuda"
    source = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
    target = torch.empty(storage.nbytes(), dtype=torch.uint8, pin_memory=is_on_gpu)
    return target.copy_(source, non_blocking=is_on_gpu).untyped_storage()
