"""Small computations of a training step, each in several ways, beside the least they could take.

Shapes: B batch, T frames, C channels, H heads, K width of a head or kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from espnet2.bench.table import Table
from espnet2.bench.timing import NOTHING, Setup, attempt, measure, milliseconds, row_of
from espnet2.bench.work import Work
from espnet2.nn.attention import plain_attend
from espnet2.train.trainer import autocast

COLUMNS = ("variant", "pass", "ms", "floor ms", "TFLOP/s", "GB/s", "error", "first call s")
BUDGET_S = 0.5  # of timed calls, a row
BF16_BYTES = 2
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
NOTES = (
    "training: forward and backward",
    "floor: operations and bytes that cannot be avoided, at the rates of the data sheet; "
    "TFLOP/s and GB/s are those operations and bytes over the measured time",
    "error: norm of the difference to the float32 result, over the norm of that result",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way to compute something."""

    name: str
    """What the row is called."""

    function: Callable[..., Tensor]
    """Computes the result from the inputs."""

    inputs: Sequence[Any]
    """Its arguments."""

    forward: Work
    """The least work of the forward pass."""

    train: Work | None = None
    """That of forward and backward; None: the forward pass only."""

    wrt: Sequence[Tensor] = ()
    """Tensors whose gradients the backward pass computes."""

    reference: Tensor | None = None
    """The result in float32; None where dropout makes every result another one."""

    module: nn.Module | None = None
    """What the function calls: in eval mode forward, in train mode forward and backward."""

    is_compiled: bool = False
    """Through torch.compile."""


def both_ways(case: Case) -> list[Case]:
    """The case as it stands, and compiled."""
    return [case, compiled(case)]


def compiled(case: Case) -> Case:
    """The case through torch.compile."""
    return replace(case, name=f"{case.name}, compiled", is_compiled=True)


def case_table(setup: Setup, title: str, cases: list[Case]) -> Table:
    """Every case forward, and forward and backward."""
    rows = [row for case in cases for row in case_rows(setup, title, case)]
    return Table(title=title, columns=COLUMNS, rows=tuple(rows), notes=NOTES)


def case_rows(setup: Setup, title: str, case: Case) -> list[tuple[str, ...]]:
    """A row a pass, up to the first that fails; its reason stands in the time's place."""
    if case.is_compiled and not setup.can_compile:
        return [row_of(title, failure(case, "all", "not compiled: see --compile"))]
    function = case.function
    if case.is_compiled:
        setup.clear()  # the compiler counts what it compiled, and stops at a limit
        function = torch.compile(function, dynamic=False)

    def forward() -> Tensor:
        with torch.no_grad(), autocast(setup.device, torch.bfloat16):
            return function(*case.inputs)

    def both() -> tuple[Tensor, ...]:
        with autocast(setup.device, torch.bfloat16):
            y = function(*case.inputs)
        return torch.autograd.grad(y, case.wrt, gradient_like(y))

    passes = {"forward": forward} if case.train is None else {"forward": forward, "training": both}
    rows = []
    for name, call in passes.items():
        if case.module is not None:
            case.module.train(name == "training")
        row = attempt(setup, partial(cells, setup, case, name, call))
        failed = isinstance(row, str)
        rows.append(row_of(title, failure(case, name, row) if failed else row))
        if failed:
            break
    return rows


def gradient_like(y: Tensor) -> Tensor:
    """A gradient for ``y`` that no kernel can take for a constant, at no cost: ``y`` itself."""
    return y.detach()


def failure(case: Case, name: str, reason: str) -> list[str]:
    """The cells of a row without a result."""
    return [case.name, name, reason, *[NOTHING] * (len(COLUMNS) - 3)]


def relative_error(y: Tensor, reference: Tensor) -> float:
    """Norm of the difference over the norm of ``reference``."""
    return float((y.float() - reference).norm() / reference.norm())


def cells(setup: Setup, case: Case, name: str, call: Callable[[], Any]) -> list[str]:
    """Measure one pass and write it down."""
    work = case.forward if name == "forward" else case.train
    timing = measure(setup, call, BUDGET_S)
    floor = milliseconds(work.floor_s(setup.peak)) if setup.peak else NOTHING
    error = NOTHING
    if name == "forward" and case.reference is not None:
        error = f"{relative_error(call(), case.reference):.1e}"
    return [
        case.name,
        name,
        milliseconds(timing.median_s),
        floor,
        f"{work.flops / timing.median_s / 1e12:.3g}",
        f"{work.moved_bytes / timing.median_s / 1e9:.3g}",
        error,
        f"{timing.first_s:.1f}",
    ]


def ceilings(setup: Setup) -> Table:
    """What this device reaches at best: copying, and multiplying large matrices."""
    side, numbers = (64, 4096) if setup.is_tiny else (8192, 2**31)
    like = {"device": setup.device, "dtype": torch.bfloat16}
    a, b = torch.randn(side, side, **like), torch.randn(side, side, **like)
    x = torch.randn(numbers, **like)
    cases = [
        Case(
            name="copy in memory",
            function=torch.clone,
            inputs=(x,),
            forward=Work(moved_bytes=2 * BF16_BYTES * numbers),
        ),
        Case(
            name=f"matrix product of side {side}",
            function=torch.matmul,
            inputs=(a, b),
            forward=Work(matrix_flops=2 * side**3, moved_bytes=3 * BF16_BYTES * side**2),
        ),
    ]
    return case_table(setup, "ceilings of this device, bf16", cases)


def sdpa(setup: Setup) -> Table:
    """Attention by each kernel that torch has, with and without dropout of its weights."""
    batch, heads, frames, width = (2, 2, 24, 8) if setup.is_tiny else (100, 8, 1000, 128)
    shape = (batch, heads, frames, width)
    q, k, v = (torch.randn(shape, device=setup.device) for _ in range(3))
    # One utterance after the other: the weights of all would be large.
    rows = zip(*(x.split(1) for x in (q, k, v)), strict=True)
    reference = torch.cat([plain_attend(*row, None, 0.0) for row in rows])
    inputs = [x.to(torch.bfloat16).requires_grad_() for x in (q, k, v)]
    flops, size = 4.0 * batch * heads * frames**2 * width, BF16_BYTES * q.numel()
    cases = [
        Case(
            name=name + (f", dropout {dropout}" if dropout else ""),
            function=attention_by(backend, dropout),
            inputs=inputs,
            forward=Work(matrix_flops=flops, moved_bytes=4 * size),
            train=Work(matrix_flops=3 * flops, moved_bytes=12 * size),
            wrt=inputs,
            reference=None if dropout else reference,
        )
        for dropout in (0.0, 0.1)
        for name, backend in BACKENDS.items()
    ]
    title = f"attention, bf16, (B, H, T, K) = {shape}"
    return case_table(setup, title, cases)


def attention_by(backend: SDPBackend, dropout: float) -> Callable[..., Tensor]:
    """scaled_dot_product_attention by one kernel alone."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)

    return attend
