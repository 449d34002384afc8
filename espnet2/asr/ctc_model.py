"""The ML-SUPERB probe: mixed layers -> linear 80 -> subsampling -> transformer blocks -> CTC.

It is ESPnet's ``S3prlFrontend`` (its weighted sum), SpecAugment, utterance mean normalisation,
linear pre-encoder, transformer encoder with ``conv2d2`` and CTC; weights carry over
(``espnet_probe.py``), and a test holds outputs, loss and gradients against it.
Shapes: B batch, T frames of 20 ms, L layers, D encoder width, P projected width, U frames of 40 ms,
V vocabulary, N tokens of the longest target.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from espnet2.asr.config import ProbeConfig
from espnet2.asr.layer_mix import LayerMix
from espnet2.asr.specaug import mask_bands, warp_and_mask_time
from espnet2.asr.transformer import Conv2dSubsampling2, Transformer, subsampled
from espnet2.nn.loss_output import LossOutput
from espnet2.utils.errors import DataError


class CTCModel(nn.Module):
    """CTC over an encoder's layers; token 0 is the blank."""

    def __init__(
        self, config: ProbeConfig, num_layers: int, input_size: int, num_tokens: int,
        layer_std: list[float] | None = None,
    ) -> None:  # fmt: skip
        """``layer_std`` (L,): what the encoder's layers are divided by; None: nothing."""
        super().__init__()
        size = config.output_size
        self.config = config
        self.mix = LayerMix(num_layers, layer_std)
        width = config.projection or input_size
        self.projection = nn.Linear(input_size, width) if config.projection else None
        self.subsampling = Conv2dSubsampling2(width, config.conv_channels or size, size)
        self.transformer = Transformer(
            size, config.attention_heads, config.linear_units, config.num_blocks,
            config.dropout_rate,
        )  # fmt: skip
        self.output = nn.Linear(size, num_tokens)
        self.conditioning = nn.Linear(num_tokens, size) if config.self_conditioned else None

    def forward(
        self,
        features: Tensor,
        feature_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        augment_uniforms: Tensor | None = None,
        language_ids: Tensor | None = None,
    ) -> LossOutput:
        """CTC loss summed over utterances (weight: their number).

        ``features`` (B, T, L, D); ``text`` (B, N) token ids; ``augment_uniforms`` (B, K) in
        [0, 1), used in training only; ``language_ids`` (B,) of ``[iso]``, for ``lid_weight``.

        Raises:
            DataError: ``lid_weight`` is set and no languages are given.
        """
        x, tapped, lengths = self.encode(features, feature_lengths, augment_uniforms)
        text_lengths = text_lengths.to(features.device)
        final = self.ctc_loss(x, lengths, text, text_lengths)
        loss = self.weighted(final, tapped, lengths, (text, text_lengths), language_ids)
        weight = torch.tensor(float(len(text)), device=loss.device)
        counts = {"nats_per_token": (final.detach(), text_lengths.sum())}
        return LossOutput(loss_sum=loss, weight=weight, counts=counts)

    def weighted(
        self,
        final: Tensor,
        tapped: dict[int, Tensor],
        lengths: Tensor,
        target: tuple[Tensor, Tensor],
        language_ids: Tensor | None,
    ) -> Tensor:
        """The last block's loss and those of the blocks before it, by their weights."""
        config, loss, rest = self.config, 0.0, 1.0
        if config.interctc_layers:
            parts = [self.ctc_loss(tapped[n], lengths, *target) for n in config.interctc_layers]
            loss = loss + config.interctc_weight * sum(parts) / len(parts)
            rest -= config.interctc_weight
        if config.lid_weight:
            if language_ids is None:
                raise DataError("lid_weight is set, but the batch names no languages")
            one = torch.ones_like(language_ids)
            lid = self.ctc_loss(tapped[config.lid_layer], lengths, language_ids[:, None], one)
            loss = loss + config.lid_weight * lid
            rest -= config.lid_weight
        return loss + rest * final

    def log_probs(
        self, features: Tensor, lengths: Tensor, augment_uniforms: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, T, L, D) -> natural log-probabilities (B, U, V) in fp32 and their lengths (B,).

        An utterance of under 7 frames (0.16 s) has length 0. ``lengths`` may lie on the host, where
        the training loop leaves them.
        """
        x, _, lengths = self.encode(features, lengths, augment_uniforms)
        return self.scores(x), lengths

    def encode(
        self, features: Tensor, lengths: Tensor, augment_uniforms: Tensor | None = None
    ) -> tuple[Tensor, dict[int, Tensor], Tensor]:
        """(B, U, 256) of the last block and of those that have a loss; frames (B,) of each."""
        lengths = lengths.to(features.device)
        with full_precision(features.device.type):
            x = self.front(features, lengths, augment_uniforms)
        x = self.subsampling(x)
        lengths = subsampled(lengths)
        condition = None if self.conditioning is None else self.condition
        x, tapped = self.transformer(x, lengths, self.config.taps, condition)
        return x, tapped, lengths

    def front(self, features: Tensor, lengths: Tensor, uniforms: Tensor | None) -> Tensor:
        """(B, T, L, D) -> (B, T, P): mixed, augmented, of mean 0 over time, projected.

        The projection comes before what works on time alone (see ``specaug.py``); its bias, last.
        """
        specaug = self.config.specaug if self.training and uniforms is not None else None
        x = self.mix(features)  # (B, T, D)
        if specaug is not None:
            x = mask_bands(x, uniforms, specaug)
        if self.projection is not None:
            x = F.linear(x, self.projection.weight)
        if specaug is not None:
            x = warp_and_mask_time(x, lengths, uniforms, specaug)
        x = without_mean(x, lengths)
        return x if self.projection is None else x + self.projection.bias

    def condition(self, x: Tensor) -> Tensor:
        """(B, U, 256) -> (B, U, 256): what is recognised there."""
        return self.conditioning(self.output(x).softmax(dim=2))

    def scores(self, x: Tensor) -> Tensor:
        """(B, U, 256) -> natural log-probabilities (B, U, V) in fp32."""
        return self.output(x).float().log_softmax(dim=2)

    def ctc_loss(self, x: Tensor, lengths: Tensor, text: Tensor, text_lengths: Tensor) -> Tensor:
        """Scalar, summed over utterances; 0 for one that cannot be aligned."""
        return F.ctc_loss(
            self.scores(x).transpose(0, 1), text, lengths, text_lengths, reduction="sum",
            zero_infinity=True,
        )  # fmt: skip


def full_precision(device_type: str) -> torch.autocast:
    """No autocast: the mean that is subtracted may be many times what is left."""
    return torch.autocast(device_type, enabled=False)


def without_mean(x: Tensor, lengths: Tensor) -> Tensor:
    """``x`` (B, T, P) less each utterance's mean over its own frames; padding becomes 0."""
    is_pad = torch.arange(x.shape[1], device=x.device) >= lengths[:, None]  # (B, T)
    x = x.masked_fill(is_pad[..., None], 0.0)
    mean = x.sum(dim=1, keepdim=True) / lengths.clamp(min=1)[:, None, None]
    return (x - mean).masked_fill(is_pad[..., None], 0.0)
