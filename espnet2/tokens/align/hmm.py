"""Hidden Markov models of the letters of one language, from transcripts and frames alone.

A letter is two states, passed through in order, so it lasts two frames at least; silence is one
state, at both ends and between words, and may be left out. A state is one diagonal Gaussian; there
are no transition probabilities (measured: they change nothing). The start is flat: the quietest
tenth of an utterance is silence, the rest is shared out evenly to its letters; then each round
finds the best paths and makes the Gaussians again.

Shapes: T frames, D width of a frame, S states of an utterance, K states of the language.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from espnet2.tokens.align.viterbi import BestPath, Chain, best_paths, groups

SILENCE, STATES_A_LETTER = 0, 2
ROUNDS = 8
QUIET_SHARE = 0.1  # of an utterance's frames that begin as silence
PRIOR_FRAMES = 5.0  # frames of the whole language added to each state: a rare letter stays sane
VARIANCE_FLOOR = 0.1  # of the language's variance
SMALLEST_VARIANCE = 1e-3  # digital silence has none


@dataclass(frozen=True)
class Spoken:
    """An utterance and what is said in it."""

    utt_id: str
    words: tuple[str, ...]  # of letters, at most one for STATES_A_LETTER frames
    frames: np.ndarray  # (T, D) float32; column 0 tells loud from quiet


@dataclass(frozen=True)
class Segment:
    """One letter or one silence."""

    token: str  # "" is silence
    first: int  # frame
    last: int  # the frame after its last


@dataclass(frozen=True)
class Models:
    """The models of one language."""

    letters: dict[str, int]  # letter -> its first state
    means: np.ndarray  # (K, D) float64
    variances: np.ndarray  # (K, D) float64

    def unknown(self, words: Sequence[str]) -> list[str]:
        """Letters that were not heard in training."""
        return sorted({letter for word in words for letter in word} - self.letters.keys())

    def align(self, utterances: Sequence[Spoken]) -> Iterator[tuple[Spoken, list[Segment]]]:
        """Each utterance with its segments, in no particular order."""
        for utterance, states, path in paths(self, utterances):
            yield utterance, segments(utterance, states, path)


def train(utterances: Sequence[Spoken]) -> tuple[Models, list[float]]:
    """Models of one language, and the log-likelihood a frame of the best paths of each round.

    utterances: at least one.
    """
    names = sorted({letter for u in utterances for word in u.words for letter in word})
    letters = {name: 1 + STATES_A_LETTER * i for i, name in enumerate(names)}
    frames = np.concatenate([u.frames for u in utterances]).astype(np.float64)
    variance = np.maximum(frames.var(axis=0), SMALLEST_VARIANCE)
    begin = partial(Sums, 1 + STATES_A_LETTER * len(letters), frames.mean(axis=0), variance)
    total = begin()
    for utterance in utterances:
        total.add(utterance.frames, flat_start(utterance, states_of(utterance.words, letters)))
    likelihoods = []
    for _ in range(ROUNDS):
        models, total, score = total.models(letters), begin(), 0.0
        for utterance, states, path in paths(models, utterances):
            total.add(utterance.frames, states[path.states])
            score += path.score
        likelihoods.append(score / len(frames))
    return total.models(letters), likelihoods


class Sums:
    """What the Gaussians of a language are made of."""

    def __init__(self, num_states: int, mean: np.ndarray, variance: np.ndarray) -> None:
        """``mean`` and ``variance``, both (D,): of all frames of the language."""
        self.mean, self.variance = mean, variance
        self.count = np.zeros(num_states)
        self.sum, self.squares = np.zeros((2, num_states, len(mean)))

    def add(self, frames: np.ndarray, states: np.ndarray) -> None:
        """Frames (T, D) and the state (T,) of each."""
        present, place = np.unique(states, return_inverse=True)
        is_in = (np.arange(len(present))[:, None] == place).astype(np.float64)  # (present, T)
        self.count[present] += is_in.sum(axis=1)
        self.sum[present] += is_in @ frames
        self.squares[present] += is_in @ np.square(frames, dtype=np.float64)

    def models(self, letters: dict[str, int]) -> Models:
        """Means and variances, with a few frames of the whole language in each state."""
        count = (self.count + PRIOR_FRAMES)[:, None]
        means = (self.sum + PRIOR_FRAMES * self.mean) / count
        squares = (self.squares + PRIOR_FRAMES * (self.variance + self.mean**2)) / count
        variances = np.maximum(squares - means**2, VARIANCE_FLOOR * self.variance)
        return Models(letters=letters, means=means, variances=variances)


def states_of(words: Sequence[str], letters: dict[str, int]) -> np.ndarray:
    """(S,) states that an utterance may go through: silence, a word, silence, a word, silence."""
    states = [SILENCE]
    for word in words:
        for letter in word:
            first = letters[letter]
            states += range(first, first + STATES_A_LETTER)
        states.append(SILENCE)
    return np.array(states)


def flat_start(utterance: Spoken, states: np.ndarray) -> np.ndarray:
    """(T,) states to begin with: silence where it is quiet, the others for equally long."""
    count, spoken = len(utterance.frames), states[states != SILENCE]
    quiet = np.argsort(utterance.frames[:, 0], kind="stable")[: int(QUIET_SHARE * count)]
    start = np.full(count, SILENCE)
    loud = np.setdiff1d(np.arange(count), quiet)
    start[loud] = spoken[np.arange(len(loud)) * len(spoken) // len(loud)]
    return start


def paths(
    models: Models, utterances: Sequence[Spoken]
) -> Iterator[tuple[Spoken, np.ndarray, BestPath]]:
    """Each utterance with its states (S,) and its best path, in groups by length."""
    states = [states_of(u.words, models.letters) for u in utterances]
    sizes = [(len(u.frames), len(own)) for u, own in zip(utterances, states, strict=True)]
    for group in groups(sizes):
        chains = [
            Chain(
                scores=log_likelihoods(models, utterances[i].frames)[:, states[i]],
                is_optional=states[i] == SILENCE,
            )
            for i in group
        ]
        for i, path in zip(group, best_paths(chains), strict=True):
            yield utterances[i], states[i], path


def log_likelihoods(models: Models, frames: np.ndarray) -> np.ndarray:
    """Of each frame in each state: (T, D) -> (T, K) float32."""
    frames, inverse = frames.astype(np.float64), 1 / models.variances
    constant = np.log(2 * np.pi * models.variances) + models.means**2 * inverse  # (K, D)
    likelihoods = frames @ (models.means * inverse).T - 0.5 * (frames**2 @ inverse.T)
    return (likelihoods - 0.5 * constant.sum(axis=1)).astype(np.float32)


def segments(utterance: Spoken, states: np.ndarray, path: BestPath) -> list[Segment]:
    """The letters and silences that a path goes through, in order."""
    begins = (states == SILENCE) | ((states - 1) % STATES_A_LETTER == 0)  # (S,)
    units = np.cumsum(begins)[path.states] - 1  # (T,)
    tokens = ["", *(token for word in utterance.words for token in (*word, ""))]
    firsts = np.flatnonzero(np.diff(units, prepend=-1)).tolist()
    lasts = [*firsts[1:], len(units)]
    return [
        Segment(token=tokens[units[first]], first=first, last=last)
        for first, last in zip(firsts, lasts, strict=True)
    ]
