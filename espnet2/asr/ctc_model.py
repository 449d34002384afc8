"""The ML-SUPERB probe: mixed layers -> linear 80 -> SpecAugment -> subsampling -> blocks -> CTC.

Shapes: B batch, T frames of 20 ms, L layers, D encoder width, U frames of 40 ms, V vocabulary,
N tokens of the longest target.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from espnet2.asr.config import ProbeConfig
from espnet2.asr.layer_mix import LayerMix
from espnet2.asr.specaug import spec_augment
from espnet2.asr.transformer import Conv2dSubsampling2, Transformer, subsampled
from espnet2.nn.loss_output import LossOutput


class CTCModel(nn.Module):
    """CTC over frozen features; token 0 is the blank."""

    def __init__(
        self, config: ProbeConfig, num_layers: int, input_size: int, num_tokens: int
    ) -> None:
        super().__init__()
        size = config.output_size
        self.specaug = config.specaug
        self.mix = LayerMix(num_layers, input_size, config.projection)
        channels = config.conv_channels or size
        self.subsampling = Conv2dSubsampling2(self.mix.output_size, channels, size)
        self.transformer = Transformer(
            size, config.attention_heads, config.linear_units, config.num_blocks,
            config.dropout_rate,
        )  # fmt: skip
        self.output = nn.Linear(size, num_tokens)

    def forward(
        self,
        features: Tensor,
        feature_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        augment_uniforms: Tensor | None = None,
    ) -> LossOutput:
        """CTC loss summed over utterances (weight: their number).

        ``features`` (B, T, L, D); ``text`` (B, N) token ids; ``augment_uniforms`` (B, K) in
        [0, 1), used in training only.
        """
        scores, lengths = self.log_probs(features, feature_lengths, augment_uniforms)
        text_lengths = text_lengths.to(features.device)
        loss = F.ctc_loss(
            scores.transpose(0, 1), text, lengths, text_lengths, reduction="sum",
            zero_infinity=True,
        )  # fmt: skip
        weight = torch.tensor(float(len(text)), device=loss.device)
        counts = {"nats_per_token": (loss.detach(), text_lengths.sum())}
        return LossOutput(loss_sum=loss, weight=weight, counts=counts)

    def log_probs(
        self, features: Tensor, lengths: Tensor, augment_uniforms: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, T, L, D) -> natural log-probabilities (B, U, V) in fp32 and their lengths (B,).

        An utterance of under 7 frames (0.16 s) has length 0. ``lengths`` may lie on the host, where
        the training loop leaves them.
        """
        lengths = lengths.to(features.device)
        x = self.mix(features)  # (B, T, 80)
        if self.training and self.specaug is not None and augment_uniforms is not None:
            x = spec_augment(x, lengths, augment_uniforms, self.specaug)
        lengths = subsampled(lengths)
        x = self.transformer(self.subsampling(x), lengths)  # (B, U, 256)
        return self.output(x).float().log_softmax(dim=2), lengths
