"""Beam search against every path there is, and against greedy decoding."""

import itertools
import sys

import pytest
import torch

from espnet2.evaluation.beam import beam_search, collapsed
from espnet2.evaluation.decode import greedy
from espnet2.utils.errors import ConfigError


def best_by_enumeration(log_probs):
    """The tokens whose paths have the largest sum of probabilities, of all V ** U paths."""
    sums = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        weight = log_probs[range(len(path)), list(path)].sum().exp().item()
        tokens = tuple(collapsed(list(path)))
        sums[tokens] = sums.get(tokens, 0.0) + weight
    return list(max(sums, key=sums.get))


def random_log_probs(count, frames, tokens):
    generator = torch.Generator().manual_seed(4)
    return (2 * torch.randn(count, frames, tokens, generator=generator)).log_softmax(dim=2)


def test_a_wide_beam_finds_the_most_probable_tokens_of_all():
    pytest.importorskip("flashlight.lib.text.decoder")
    log_probs = random_log_probs(25, 5, 4)
    found = beam_search(1000)(log_probs, torch.full((25,), 5))
    expected = [best_by_enumeration(one) for one in log_probs]
    assert found == expected
    assert found != greedy(log_probs, torch.full((25,), 5))  # which sums no paths


def test_padding_plays_no_role_and_an_utterance_without_frames_is_empty():
    pytest.importorskip("flashlight.lib.text.decoder")
    log_probs = random_log_probs(2, 8, 4)
    alone = beam_search(50)(log_probs[:1, :5], torch.tensor([5]))
    assert beam_search(50)(log_probs, torch.tensor([5, 0])) == [alone[0], []]


def test_without_its_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "flashlight.lib.text.decoder", None)
    with pytest.raises(ConfigError, match=r"pip install 'xeus\[beam\]', or 0 for greedy"):
        beam_search(10)


def test_a_path_loses_repeats_blanks_and_silence():
    assert collapsed([-1, 0, 2, 2, 0, 2, 3, 0, -1]) == [2, 2, 3]
