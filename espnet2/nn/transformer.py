"""The transformer of wav2vec 2.0 and HuBERT (arXiv 2006.11477, 2106.07447), batch-invariant.

Shapes: B batch, N samples, T frames, C channels of the CNN, D model width.
Padding is zeroed before the convolution over time and hidden from attention, so an utterance's
output does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from espnet2.nn.attention import SelfAttention
from espnet2.nn.cnn_frontend import CNNFrontend
from espnet2.nn.feed_forward import FeedForward
from espnet2.nn.padding import Padding, padding_for, zero_padding
from espnet2.nn.positions import ConvPositions
from espnet2.nn.precision import at_least_float32


class TransformerLayer(nn.Module):
    """Attention and feed-forward, each with a residual and a layer norm."""

    def __init__(self, dim: int, num_heads: int, hidden_dim: int, norm_first: bool):
        """``norm_first``: norms before attention and feed-forward, else after the residuals."""
        super().__init__()
        self.norm_first = norm_first
        self.attn = SelfAttention(dim, num_heads)
        self.norm_attn = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, hidden_dim, 0.0, "gelu")
        self.norm_ff = nn.LayerNorm(dim)

    def forward(self, x: Tensor, padding: Padding | None) -> Tensor:
        """``x`` (B, T, D) -> (B, T, D)."""
        if self.norm_first:
            x = x + self.attn(self.norm_attn(x), padding)
            return x + self.feed_forward(self.norm_ff(x))
        x = self.norm_attn(x + self.attn(x, padding))
        return self.norm_ff(x + self.feed_forward(x))


class WaveformTransformer(nn.Module):
    """CNN, projection, positions and layers: waveforms to the last layer's raw output.

    The layers' order of norms decides where the model's own norm is. Post-norm models have it
    before the first layer. Pre-norm models have it after the last one, for the model's final
    output alone; the output of a layer never passes it, so it is left out here.
    """

    def __init__(
        self,
        frontend: CNNFrontend,
        dim: int,
        pos_kernel: int,
        pos_groups: int,
        layers: Sequence[TransformerLayer],
    ):
        super().__init__()
        self.frontend = frontend
        self.norm_features = nn.LayerNorm(frontend.output_size())
        self.projection = nn.Linear(frontend.output_size(), dim)
        self.positions = ConvPositions(dim, pos_kernel, pos_groups)
        self.layers = nn.ModuleList(layers)
        self.norm_input = None if layers[0].norm_first else nn.LayerNorm(dim)

    def output_size(self) -> int:
        """Model width D."""
        return self.projection.out_features

    def forward(self, speech: Tensor, lengths: Sequence[int]) -> tuple[Tensor, list[int]]:
        """``speech`` (B, N) and its valid samples -> (B, T, D), frames of each.

        T are the frames of N samples, even where all lengths are shorter.
        """
        x, frames = self.frontend(speech, lengths)  # (B, T, C)
        padding = padding_for(frames, x.shape[1], x.device)
        x = zero_padding(self.projection(self.norm_features(x)), padding)
        x = at_least_float32(x)  # what layer after layer adds to, under autocast too
        x = x + self.positions(x)  # wav2vec 2.0 adds them, unlike XEUS
        if self.norm_input is not None:
            x = self.norm_input(x)
        for layer in self.layers:
            x = layer(x, padding)
        return x, frames
