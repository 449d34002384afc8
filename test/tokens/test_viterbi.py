"""Best paths: what trying every path finds, however utterances are grouped."""

import itertools

import numpy as np
import pytest

from espnet2.tokens.align import viterbi
from espnet2.tokens.align.viterbi import Chain, best_paths, groups


def chain(frames, letters, seed):
    """Silence, letters of two states, silence after every second letter."""
    is_optional = [True]
    for number in range(letters):
        is_optional += [False, False] + [True] * (number % 2 == 1 or number == letters - 1)
    scores = np.random.default_rng(seed).normal(size=(frames, len(is_optional)))
    return Chain(scores=scores.astype(np.float32), is_optional=np.array(is_optional))


def by_trying(chain):
    """The best path of all."""
    frames, states = chain.scores.shape
    must, best = set(np.flatnonzero(~chain.is_optional)), (-np.inf, None)
    for path in itertools.combinations_with_replacement(range(states), frames):
        if must <= set(path):
            score = float(chain.scores[np.arange(frames), path].sum(dtype=np.float64))
            best = max(best, (score, path))
    return best


@pytest.mark.parametrize("seed", range(6))
def test_the_best_path_is_the_one_that_trying_all_paths_finds(seed):
    one = chain(frames=7 + seed % 2, letters=1 + seed % 3, seed=seed)
    score, states = by_trying(one)
    (path,) = best_paths([one])
    assert tuple(path.states) == states
    assert path.score == pytest.approx(score, abs=1e-4)


def test_as_many_frames_as_letters_need_leave_no_choice():
    one = chain(frames=4, letters=2, seed=0)
    assert np.flatnonzero(~one.is_optional).tolist() == best_paths([one])[0].states.tolist()


def test_a_path_does_not_depend_on_its_group():
    chains = [chain(frames=8 + 5 * i, letters=1 + i, seed=i) for i in range(6)]
    alone = [best_paths([one])[0] for one in chains]
    for together, path in zip(best_paths(chains), alone, strict=True):
        assert np.array_equal(together.states, path.states)
        assert together.score == path.score


def test_groups_hold_every_utterance_once_and_few_cells(monkeypatch):
    monkeypatch.setattr(viterbi, "MAX_CELLS", 1000)
    sizes = [(50, 10), (10, 5), (100, 40), (20, 8), (10, 6), (30, 9)]
    found = list(groups(sizes))
    assert sorted(itertools.chain.from_iterable(found)) == list(range(6))
    for group in found:
        cells = max(sizes[i][0] for i in group) * sum(sizes[i][1] for i in group)
        assert cells <= 1000 or len(group) == 1
    assert [2] in found
