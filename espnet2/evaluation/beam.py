"""CTC beam search without a language model, by flashlight-text: ``pip install 'xeus[beam]'``.

It adds up the ways in which frames spell the same tokens, which greedy decoding does not. The
published tables are greedy. flashlight-text is torchaudio's decoder; it has wheels for Python 3.11
and 3.12, elsewhere pip builds it with cmake.

Shapes: B batch, U frames of 40 ms, V vocabulary.
"""

import itertools
from collections.abc import Callable

from torch import Tensor

from espnet2.utils.errors import ConfigError

BLANK_ID = 0
NO_SILENCE = -1  # the search puts it at both ends
TOKENS = 50  # best tokens of a frame that may go on
FAR = 50.0  # nats behind the best beam at which one is given up

Search = Callable[[Tensor, Tensor], list[list[int]]]


def beam_search(beam_size: int) -> Search:
    """What decodes as ``greedy`` does, (B, U, V) log-probabilities and (B,) frames to token ids.

    Raises:
        ConfigError: flashlight-text is not installed.
    """
    try:
        from flashlight.lib.text.decoder import (
            CriterionType,
            LexiconFreeDecoder,
            LexiconFreeDecoderOptions,
            ZeroLM,
        )
    except ImportError as error:
        raise ConfigError(
            f"report.score.beam_size needs flashlight-text ({error}): pip install 'xeus[beam]', or "
            "0 for greedy decoding"
        ) from None

    def search(log_probs: Tensor, num_frames: Tensor) -> list[list[int]]:
        num_tokens = log_probs.shape[2]
        options = LexiconFreeDecoderOptions(
            beam_size=beam_size, beam_size_token=min(TOKENS, num_tokens), beam_threshold=FAR,
            lm_weight=0.0, sil_score=0.0, log_add=True, criterion_type=CriterionType.CTC,
        )  # fmt: skip
        decoder = LexiconFreeDecoder(options, ZeroLM(), NO_SILENCE, BLANK_ID, [])
        found = []
        for row, count in zip(log_probs.float().cpu(), num_frames.tolist(), strict=True):
            frames = row[:count].contiguous().numpy()  # decode reads its memory: keep it alive
            best = decoder.decode(frames.ctypes.data, count, num_tokens)[0] if count else None
            found.append(collapsed(best.tokens) if best else [])
        return found

    return search


def collapsed(path: list[int]) -> list[int]:
    """A token for each frame as token ids: repeats, blanks and silence removed."""
    tokens = (token for token, _ in itertools.groupby(path))
    return [token for token in tokens if token not in (BLANK_ID, NO_SILENCE)]
