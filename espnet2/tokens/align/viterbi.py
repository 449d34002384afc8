"""Best paths through left-to-right chains of states, many utterances at a time.

A state may be stayed in and follows the one before it; an optional state may be passed over, and a
chain begins and ends with one. The chains of a group lie side by side in one vector, so the loop
over frames is shared and each step is a few operations on that vector. No number of one utterance
meets one of another: a path does not depend on what else is in the group.

Shapes: T frames of an utterance, S states of its chain, P states of all chains of a group, L frames
of its longest utterance.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

STEPPED, SKIPPED = 1, 2  # how a state was entered: from so many states before; 0: stayed in
MAX_CELLS = 2**23  # frames times states of a group: 5 bytes each


@dataclass(frozen=True)
class Chain:
    """What one utterance may go through: no fewer frames than states that are not optional."""

    scores: np.ndarray  # (T, S) float32   log-likelihood of each frame in each state
    is_optional: np.ndarray  # (S,) bool   the first and the last are, never two in a row


@dataclass(frozen=True)
class BestPath:
    """The best way through a chain."""

    states: np.ndarray  # (T,) int64   ascending in steps of 0, 1, or 2 over an optional one
    score: float  # log-likelihood of all frames


def groups(sizes: list[tuple[int, int]]) -> Iterator[list[int]]:
    """Numbers of utterances to search together, short ones first; sizes: (T, S) of each."""
    group, states = [], 0
    for number in sorted(range(len(sizes)), key=lambda number: sizes[number]):
        frames, own = sizes[number]
        if group and frames * (states + own) > MAX_CELLS:
            yield group
            group, states = [], 0
        group.append(number)
        states += own
    if group:
        yield group


def best_paths(chains: list[Chain]) -> list[BestPath]:
    """The best path of every chain of a group."""
    sizes = np.array([len(chain.is_optional) for chain in chains])
    starts = np.cumsum(sizes) - sizes
    entered, last = search(chains, starts)
    return [
        trace(entered[:, start : start + size], last[start : start + size], len(chain.scores))
        for chain, start, size in zip(chains, starts, sizes, strict=True)
    ]


def search(chains: list[Chain], starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How each state was entered, (L, P) int8, and its score in its utterance's last frame, (P,).

    starts: (chains,) first state of each in the vector.
    """
    lengths = np.array([len(chain.scores) for chain in chains])
    is_optional = np.concatenate([chain.is_optional for chain in chains])
    ends = np.repeat(lengths - 1, [len(chain.is_optional) for chain in chains])  # (P,)
    scores = np.zeros((lengths.max(), len(ends)), np.float32)
    for chain, start in zip(chains, starts, strict=True):
        scores[: len(chain.scores), start : start + len(chain.is_optional)] = chain.scores
    may_step, may_skip, now = ways(is_optional, starts)
    now += scores[0]
    entered = np.zeros(scores.shape, np.int8)
    last = np.where(ends == 0, now, -np.inf)
    for t in range(1, len(scores)):
        stepped, skipped = before(now, 1) + may_step, before(now, 2) + may_skip
        np.copyto(entered[t], STEPPED, where=stepped > now)
        np.maximum(now, stepped, out=now)
        np.copyto(entered[t], SKIPPED, where=skipped > now)
        np.maximum(now, skipped, out=now)
        now += scores[t]
        np.copyto(last, now, where=ends == t)
    return entered, last


def ways(is_optional: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each (P,): 0 where a state may be entered from the one before, from two before, at first.

    -inf where it may not: out of another chain, or over a state that is not optional.
    """
    step, skip, first = (np.full(len(is_optional), -np.inf, np.float32) for _ in range(3))
    step[:] = 0
    step[starts] = -np.inf
    skip[2:][is_optional[1:-1]] = 0
    skip[starts] = skip[starts + 1] = -np.inf
    first[starts] = first[starts + 1] = 0
    return step, skip, first


def before(values: np.ndarray, by: int) -> np.ndarray:
    """(P,) values of the state ``by`` before each."""
    moved = np.full_like(values, -np.inf)
    moved[by:] = values[:-by]
    return moved


def trace(entered: np.ndarray, last: np.ndarray, frames: int) -> BestPath:
    """One utterance's path, followed back from its last state or the one before.

    entered: (L, S) of ``search``; last: (S,) scores at the end.
    """
    state = len(last) - (1 if last[-1] >= last[-2] else 2)
    states, score = np.empty(frames, np.int64), float(last[state])
    for t in range(frames - 1, -1, -1):
        states[t] = state
        state -= int(entered[t, state])
    return BestPath(states=states, score=score)
