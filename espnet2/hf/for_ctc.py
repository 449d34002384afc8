"""``XeusForCTC``: what stage 11 trains, the probe on the encoder, as a model of transformers.

Shapes: B batch, N samples, T frames of 20 ms, L layers, D encoder width, U frames of 40 ms,
V vocabulary, K tokens of the longest target.
"""

import contextlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_outputs import CausalLMOutput

from espnet2.asr.ctc_model import CTCModel
from espnet2.asr.encoders import autocast_for
from espnet2.asr.specaug import num_uniforms
from espnet2.asr.tuned_model import centred
from espnet2.data.frames import HOP_SAMPLES, RECEPTIVE_SAMPLES, num_frames
from espnet2.hf.base import XeusPreTrainedModel, lengths_of
from espnet2.hf.config import XeusConfig
from espnet2.hf.model import XeusModel
from espnet2.nn.precision import at_least_float32
from espnet2.ssl.checks import check_batch, check_tensor
from espnet2.utils.errors import ConfigError

BLANK_ID = 0


class XeusForCTC(XeusPreTrainedModel):
    """Waves in, a token for every 40 ms out."""

    def __init__(self, config: XeusConfig, **unknown: Any) -> None:
        """Raises ConfigError where the configuration is of no such model."""
        super().__init__(config, **unknown)
        if not config.vocab_size:
            raise ConfigError("XeusForCTC: give vocab_size, the number of tokens with the blank")
        if config.pad_token_id != BLANK_ID:
            raise ConfigError(
                f"XeusForCTC: pad_token_id must be {BLANK_ID}, the blank, got {config.pad_token_id}"
            )
        self.xeus = XeusModel(config)
        self.hearing = config.hearing_config()
        self.take_parts()
        self.post_init()

    def own_parts(self) -> nn.Module:
        """See ``XeusPreTrainedModel``."""
        network, config, hearing = self.xeus.network, self.config, self.hearing
        num_layers = network.num_layers - (not hearing.mixes_input)
        probe = CTCModel(
            config.probe_config(), num_layers, network.dim, config.vocab_size, hearing.layer_std
        )
        return nn.ModuleDict({"probe": probe})

    @torch.no_grad()
    def initialize_weights(self) -> None:
        """See ``XeusPreTrainedModel``; what layers are divided by is in no file of weights."""
        super().initialize_weights()
        scale = self.probe.mix.scale
        if scale is not None and not scale.is_meta:
            scale.copy_(1 / torch.tensor(self.hearing.layer_std))

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        use_mask: bool = False,
        language_ids: Tensor | None = None,
    ) -> CausalLMOutput | tuple[Any, ...]:
        """``logits`` (B, U, V), and with ``labels`` the loss, a mean over utterances.

        The logits are natural log-probabilities in fp32. Behind the end of an utterance they are
        certain of the blank, so that the best token of each row is a hypothesis as it is; one of
        under 0.16 s is nothing but blanks.

        Args:
            input_values: (B, N) at 16 kHz in +-1.
            attention_mask: (B, N), 1 on audio and 0 on the padding behind it; None: no padding.
            labels: (B, K) token ids, -100 behind the last.
            use_mask: as of ``XeusModel``; the probe's own SpecAugment is drawn whenever it trains.
            language_ids: (B,) ids of the tokens ``[iso]``, for a probe with ``lid_weight``.

        Raises:
            ValueError: a malformed batch.
            ConfigError: float16 on a CPU.
        """
        self.refuse_slow_type()
        speech, samples = self.batch(input_values, attention_mask)
        layers, counts = self.listen(speech, samples, use_mask)
        uniforms = None
        if self.training:
            count = num_uniforms(self.probe.config.specaug)
            uniforms = torch.rand(len(speech), count, device=speech.device)
        x, tapped, lengths = self.probe.encode(self.heard(layers, counts), counts, uniforms)
        logits = blank_behind(self.probe.scores(x), lengths)
        loss = None
        if labels is not None:
            target = targets_of(labels, len(speech), self.config.vocab_size)
            final = self.probe.ctc_loss(x, lengths, *target)
            loss = self.probe.weighted(final, tapped, lengths, target, language_ids) / len(labels)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        states = tuple(layers) if output_hidden_states else None
        output = CausalLMOutput(loss=loss, logits=logits, hidden_states=states)
        return output if self.answers_by_name(return_dict) else output.to_tuple()

    def batch(
        self, input_values: Tensor, attention_mask: Tensor | None
    ) -> tuple[Tensor, list[int]]:
        """Speech just wide enough for the frames of the longest utterance, and samples of each.

        What is shorter than a frame counts as one, with silence behind it.
        """
        lengths = lengths_of(input_values, attention_mask)
        if attention_mask is not None:
            input_values = input_values.masked_fill(attention_mask == 0, 0.0)
        shortfall = max(0, RECEPTIVE_SAMPLES - input_values.shape[1])
        speech = F.pad(input_values, (0, shortfall))
        lengths = lengths.clamp(min=RECEPTIVE_SAMPLES)
        samples = check_batch(speech, lengths, RECEPTIVE_SAMPLES, self.device)
        width = num_frames(max(samples)) * HOP_SAMPLES + RECEPTIVE_SAMPLES - 1
        return F.pad(at_least_float32(speech), (0, width - speech.shape[1])), samples

    def listen(
        self, speech: Tensor, samples: list[int], use_mask: bool
    ) -> tuple[list[Tensor], Tensor]:
        """L tensors (B, T, D), and the frames (B,) of each utterance."""
        uniforms = self.xeus.mask_uniforms(samples) if use_mask else None
        amp = self.hearing.amp
        with contextlib.nullcontext() if amp == "float32" else autocast_for(speech.device, amp):
            layers, frames = self.xeus.network.layers(speech, samples, mask_uniforms=uniforms)
        return layers, torch.tensor(frames, device=speech.device)

    def heard(self, layers: list[Tensor], counts: Tensor) -> Tensor:
        """(B, T, L, D) as the probe was trained to hear them: see ``TunedModel.listen``."""
        first = 0 if self.hearing.mixes_input else 1
        x = torch.stack([layer.float() for layer in layers[first:]], dim=2)
        if self.hearing.centre:
            x = centred(x, counts)
        return x.to(getattr(torch, self.hearing.dtype))


def targets_of(labels: Tensor, batch: int, vocab_size: int) -> tuple[Tensor, Tensor]:
    """Token ids (B, K) and how many of them each utterance has (B,).

    Raises:
        ValueError: another shape or type, padding that is not on the right, or (looked for on the
            CPU only) the blank or an id beyond the vocabulary.
    """
    check_tensor("labels", labels)
    if labels.dim() != 2 or len(labels) != batch or labels.is_floating_point():
        raise ValueError(
            f"labels must be token ids (batch, tokens) for {batch} utterances, got "
            f"{labels.dtype} {tuple(labels.shape)}"
        )
    is_token = labels >= 0
    if (is_token[:, 1:] & ~is_token[:, :-1]).any():
        raise ValueError("labels must be token ids, then -100: padding belongs on the right")
    tokens = labels[is_token] if labels.device.type == "cpu" else labels[:0]
    if (tokens == BLANK_ID).any():
        raise ValueError(f"labels hold {BLANK_ID}, the blank, which no text has; padding is -100")
    if (tokens >= vocab_size).any():
        raise ValueError(f"labels hold {int(tokens.max())}; the vocabulary has {vocab_size} tokens")
    return labels.clamp(min=0), is_token.sum(1)


def blank_behind(scores: Tensor, lengths: Tensor) -> Tensor:
    """Log-probabilities (B, U, V) with the blank for sure behind each utterance's ``lengths``."""
    is_pad = torch.arange(scores.shape[1], device=scores.device) >= lengths[:, None]  # (B, U)
    certain = scores.new_full((scores.shape[2],), -torch.inf)
    certain[BLANK_ID] = 0.0
    return torch.where(is_pad[..., None], certain, scores)
