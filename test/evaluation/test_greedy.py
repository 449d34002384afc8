"""Greedy CTC decoding."""

import torch

from espnet2.evaluation.decode import greedy


def test_greedy_decoding_merges_repeats_and_drops_blanks_and_padding():
    best = torch.tensor([[1, 1, 0, 1, 2, 2], [0, 3, 3, 2, 2, 2]])
    log_probs = torch.nn.functional.one_hot(best, 4).float()
    assert greedy(log_probs, torch.tensor([6, 3])) == [[1, 1, 2], [3]]
    assert greedy(log_probs, torch.tensor([0, 1])) == [[], []]
    assert greedy(log_probs[:, :0], torch.tensor([0, 0])) == [[], []]


def test_greedy_decoding_is_the_textbook_rule():
    scores = torch.rand(20, 40, 5, generator=torch.Generator().manual_seed(1))
    counts = torch.randint(0, 41, (20,), generator=torch.Generator().manual_seed(2))
    for row, count, found in zip(scores, counts, greedy(scores, counts), strict=True):
        best, expected = row[:count].argmax(dim=1).tolist(), []
        for place, token in enumerate(best):
            if token and (place == 0 or best[place - 1] != token):
                expected.append(token)
        assert found == expected
