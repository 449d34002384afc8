"""Random spans of places in a row: frames of an utterance, or channels.

Shapes: B rows, T places in the longest row, K most spans a row can have.
Everything is drawn from one table of uniform numbers (B, 2T+1), on the device, without a loop and
without the host: K is known from T and the rule. Column 0 rounds the number of spans, columns 1..T
order the places, the rest draw the lengths. A row's spans depend on its own numbers and size only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from espnet2.utils.errors import ConfigError

SELECTIONS = ("static", "uniform", "normal", "poisson")
DRAW_STEPS = 2**24  # values of a uniform float32
NEVER = torch.iinfo(torch.long).max  # an order key behind all others


@dataclass(frozen=True, kw_only=True)
class SpanRule:
    """How many spans a row gets, how long, and where. Raises ConfigError on what cannot be."""

    name: str
    """``mask`` or ``mask_channel``: how the settings are called in messages."""

    prob: float
    """Spans = prob * size / length, rounded up or down at random."""

    length: int
    """Length of a span, or the mean of the lengths, in places."""

    selection: str
    """static: ``length``; uniform: ``other`` .. 2 ``length``; normal, poisson: mean ``length``."""

    other: float
    """uniform: the shortest span; normal: the standard deviation; else unused."""

    overlap: bool
    """Whether spans may overlap."""

    min_space: int
    """Places between two spans that may not overlap, at least."""

    min_spans: int
    """Fewest spans of a row that has the places."""

    def __post_init__(self) -> None:
        name, other = self.name, self.other
        if self.selection not in SELECTIONS:
            raise ConfigError(
                f"{name}_selection must be one of {', '.join(SELECTIONS)}, got {self.selection!r}"
            )
        if not 0 <= self.prob < math.inf:
            raise ConfigError(f"{name}_prob must be 0 or more, got {self.prob!r}")
        for key, value, least in (("length", self.length, 1), ("min_space", self.min_space, 0)):
            if not isinstance(value, Integral) or value < least:
                raise ConfigError(f"{name}_{key} must be an int of {least} or more, got {value!r}")
        if self.selection == "uniform" and not 0 <= other <= 2 * self.length:
            raise ConfigError(
                f"{name}_other, the shortest span, must lie in 0 .. {2 * self.length} "
                f"(twice {name}_length), got {other!r}"
            )
        if self.selection == "normal" and not 0 <= other < math.inf:
            raise ConfigError(f"{name}_other, a deviation, must be 0 or more, got {other!r}")

    def most_spans(self, size: int) -> int:
        """K: no row of ``size`` places gets more spans than this."""
        wanted = min(self.prob * size / self.length, size)
        return min(max(math.ceil(wanted), self.min_spans), size)


def num_uniforms(size: int) -> int:
    """Numbers that ``draw_spans`` takes for a row of ``size`` places."""
    return 2 * size + 1


def draw_spans(uniforms: Tensor, sizes: Tensor, rule: SpanRule) -> Tensor:
    """Places inside a span, (B, T) bool; at least one place of every row stays outside.

    ``uniforms`` (B, 2T+1) in [0, 1); ``sizes`` (B,) places of each row, int64, 1 .. T.
    """
    width = uniforms.shape[1] // 2
    if rule.prob == 0:
        return torch.zeros(len(uniforms), width, dtype=torch.bool, device=uniforms.device)
    most = rule.most_spans(width)
    count = span_counts(uniforms[:, 0], sizes, rule, most)[:, None]
    lengths = span_lengths(uniforms[:, width + 1 : width + 1 + most], rule)
    column = torch.arange(width, device=uniforms.device)
    lengths = lengths.where(column[:most] < count, 0)  # (B, K): 0 where there is no span
    lengths = some_length(lengths, count, sizes, rule.length)
    order = order_keys(uniforms[:, 1 : width + 1])
    if not rule.overlap:
        starts, lengths = lay_apart(order, lengths, sizes[:, None], rule.min_space)
        return covered(starts, lengths, width)
    starts = lay_freely(order, lengths, count, sizes[:, None])
    is_real = column < sizes[:, None]  # (B, T)
    return keep_one_visible(covered(starts, lengths, width) & is_real, is_real, order)


def span_counts(uniform: Tensor, sizes: Tensor, rule: SpanRule, most: int) -> Tensor:
    """Spans (B,) of rows of ``sizes`` (B,): floor(prob size / length + u), at least the fewest."""
    count = (rule.prob * sizes / rule.length + uniform).clamp(max=most).long()
    return torch.minimum(count.clamp(min=rule.min_spans), sizes)


def span_lengths(uniform: Tensor, rule: SpanRule) -> Tensor:
    """A span length, int64, for each number of ``uniform``."""
    if rule.selection == "static":
        return torch.full_like(uniform, rule.length, dtype=torch.long)
    if rule.selection == "uniform":
        low = int(rule.other)
        return (uniform * (2 * rule.length - low + 1)).long() + low
    if rule.selection == "normal":
        tiny = 1e-6  # keeps the quantile function finite: +- 4.8 standard deviations
        quantile = torch.special.ndtri(uniform.float().clamp(tiny, 1 - tiny))
        return (rule.length + rule.other * quantile).round().long().clamp(min=1)
    table = poisson_cdf(rule.length, uniform.device)
    return torch.searchsorted(table, uniform.contiguous(), right=True)


def poisson_cdf(mean: int, device: torch.device | str) -> Tensor:
    """P(X <= k) for k = 0 .. mean + 10 standard deviations, fp32, computed on the device."""
    most = int(mean + 10 * math.sqrt(mean)) + 1
    k = torch.arange(most, dtype=torch.float64, device=device)
    log_p = k * math.log(mean) - mean - torch.lgamma(k + 1)
    return log_p.exp().cumsum(0).float()


def some_length(lengths: Tensor, count: Tensor, sizes: Tensor, length: int) -> Tensor:
    """If all spans of a row came out empty, give its first one some length, as the reference."""
    is_empty = (lengths.amax(1) == 0) & (count[:, 0] > 0)
    first = torch.where(is_empty, (sizes - 1).clamp(max=length), lengths[:, 0])
    return torch.cat([first[:, None], lengths[:, 1:]], dim=1)


def order_keys(uniform: Tensor) -> Tensor:
    """Numbers (B, T) as int64 keys of the same order; equal numbers go by their place.

    Without ties the smallest keys are the same ones on every device and beside any padding.
    """
    width = uniform.shape[1]
    place = torch.arange(width, device=uniform.device)
    return (uniform * DRAW_STEPS).long() * width + place


def smallest(order: Tensor, limit: Tensor, most: int) -> Tensor:
    """Places (B, K) of the smallest keys below place ``limit`` (B, 1), smallest key first.

    A row's places after the first ``limit`` ones mean nothing.
    """
    place = torch.arange(order.shape[1], device=order.device)
    return order.where(place < limit, NEVER).topk(most, dim=1, largest=False).indices


def lay_freely(order: Tensor, lengths: Tensor, count: Tensor, sizes: Tensor) -> Tensor:
    """Distinct random starts (B, K) for spans that may overlap; the end of the row cuts them.

    ``order`` (B, T); ``lengths`` (B, K), of which ``count`` (B, 1) are spans; ``sizes`` (B, 1).
    """
    most = lengths.shape[1]
    is_span = torch.arange(most, device=order.device) < count
    shortest = lengths.where(is_span, order.shape[1]).amin(1, keepdim=True)
    limit = sizes - shortest  # starts lie below it
    limit = torch.where(limit <= count, count + 1, limit)
    return smallest(order, torch.minimum(limit, sizes), most)


def lay_apart(
    order: Tensor, lengths: Tensor, sizes: Tensor, min_space: int
) -> tuple[Tensor, Tensor]:
    """Starts and lengths (B, K) of spans at least ``min_space`` apart; length 0: left out.

    ``order`` (B, T); ``lengths`` (B, K); ``sizes`` (B, 1). Spans, which come in random order, are
    taken until one does not fit with its gap (a first one too long for its row is cut). All ways
    to lay out those taken are equally likely: n spans and the ``free`` places that are neither
    span nor gap stand in some order, and n of free + n slots are drawn for the spans.

    The reference places one span after the other into what the earlier ones left, and stops where
    no stretch is long enough; here more of them fit.
    """
    lengths = torch.minimum(lengths, sizes - 1)
    earlier = (lengths > 0).cumsum(1) - 1
    visible = (earlier * min_space).clamp(min=1)  # one place stays outside also without gaps
    lengths = lengths.where(lengths.cumsum(1) + visible <= sizes, 0)

    is_kept = lengths > 0
    count = is_kept.sum(1, keepdim=True)
    gaps = (count - 1).clamp(min=0) * min_space
    free = sizes - lengths.sum(1, keepdim=True) - gaps
    most, width = lengths.shape[1], order.shape[1]
    slots = smallest(order, free + count, most)  # free + count <= size: no span taken is empty
    is_slot = torch.arange(most, device=order.device) < count
    slots = slots.where(is_slot, width).sort(1).values

    rank = (is_kept.cumsum(1) - 1).clamp(min=0)  # this span is the row's rank-th, from 0
    before = lengths.cumsum(1) - lengths + rank * min_space
    return slots.gather(1, rank) - rank + before, lengths


def covered(starts: Tensor, lengths: Tensor, width: int) -> Tensor:
    """The places (B, T) bool of spans at ``starts`` of ``lengths`` (B, K)."""
    ends = (starts + lengths).clamp(max=width)
    ones = torch.ones_like(starts)
    change = starts.new_zeros(len(starts), width + 1)
    change.scatter_add_(1, starts.clamp(max=width), ones)
    change.scatter_add_(1, ends, -ones)
    return change.cumsum(1)[:, :width] > 0


def keep_one_visible(is_masked: Tensor, is_real: Tensor, order: Tensor) -> Tensor:
    """Uncover one random place of a row that is masked from end to end; all (B, T)."""
    place = torch.arange(is_masked.shape[1], device=order.device)
    chosen = order.where(is_real, -1).argmax(1, keepdim=True)  # (B, 1)
    is_all = (is_masked == is_real).all(1, keepdim=True)
    return is_masked & ~(is_all & (place == chosen))
