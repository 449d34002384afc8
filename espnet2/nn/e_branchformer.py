"""E-Branchformer encoder (arXiv 2210.00077), batch-invariant.

Shapes: B batch, T frames, D model width.
Padding is zeroed before every convolution over time and hidden from attention, so an
utterance's output does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from espnet2.nn.attention import SelfAttention
from espnet2.nn.cgmlp import ConvGatingMLP
from espnet2.nn.depthwise_conv import depthwise_conv
from espnet2.nn.dropout import Dropout
from espnet2.nn.feed_forward import FeedForward
from espnet2.nn.padding import Padding, padding_for, zero_padding

NORM_EPS = 1e-12  # the released weights were trained with it


class EBranchformerBlock(nn.Module):
    """Attention and a convolutional gating MLP side by side, merged, between feed-forwards."""

    def __init__(
        self,
        dim: int,
        attn: SelfAttention,
        cgmlp: ConvGatingMLP,
        feed_forward: FeedForward | None,
        feed_forward_macaron: FeedForward | None,
        dropout_rate: float,
        merge_kernel: int,
    ):
        super().__init__()
        self.attn, self.cgmlp = attn, cgmlp
        self.feed_forward, self.feed_forward_macaron = feed_forward, feed_forward_macaron
        self.ff_scale = 0.5 if feed_forward_macaron is not None else 1.0
        if feed_forward is not None:
            self.norm_ff = nn.LayerNorm(dim, eps=NORM_EPS)
        if feed_forward_macaron is not None:
            self.norm_ff_macaron = nn.LayerNorm(dim, eps=NORM_EPS)
        self.norm_mha = nn.LayerNorm(dim, eps=NORM_EPS)
        self.norm_mlp = nn.LayerNorm(dim, eps=NORM_EPS)
        self.norm_final = nn.LayerNorm(dim, eps=NORM_EPS)
        self.dropout = Dropout(dropout_rate)
        half = (merge_kernel - 1) // 2
        self.depthwise_conv_fusion = nn.Conv1d(
            2 * dim, 2 * dim, merge_kernel, padding=half, groups=2 * dim
        )
        self.merge_proj = nn.Linear(2 * dim, dim)

    @property
    def use_flash_attn(self) -> bool | None:
        """Live switch of the attention kernel: None torch's choice, True flash, False plain."""
        return self.attn.use_flash_attn

    @use_flash_attn.setter
    def use_flash_attn(self, value: bool | None) -> None:
        self.attn.use_flash_attn = value

    def forward(self, x: Tensor, padding: Padding | None) -> Tensor:
        """``x`` (B, T, D) -> (B, T, D)."""
        if self.feed_forward_macaron is not None:
            y = self.feed_forward_macaron(self.norm_ff_macaron(x))
            x = torch.add(x, self.dropout(y), alpha=self.ff_scale)
        attended = self.dropout(self.attn(self.norm_mha(x), padding))
        gated = self.dropout(self.cgmlp(self.norm_mlp(x), padding))
        x = x + self.dropout(self.merge(torch.cat([attended, gated], dim=-1), padding))
        if self.feed_forward is not None:
            y = self.feed_forward(self.norm_ff(x))
            x = torch.add(x, self.dropout(y), alpha=self.ff_scale)
        return self.norm_final(x)

    def merge(self, both: Tensor, padding: Padding | None) -> Tensor:
        """Both branches (B, T, 2D), plus their depthwise convolution -> (B, T, D)."""
        conv = self.depthwise_conv_fusion
        mixed = depthwise_conv(zero_padding(both, padding), conv.weight, conv.bias)
        return self.merge_proj(both + mixed)


class EBranchformerEncoder(nn.Module):
    """Positions, blocks, final norm."""

    def __init__(
        self,
        dim: int,
        embed: Iterable[nn.Module],
        blocks: Iterable[EBranchformerBlock],
        checkpointed_blocks: Iterable[int] = (),
    ):
        """``checkpointed_blocks``: indices whose activations training computes twice."""
        super().__init__()
        self.embed = nn.Sequential(*embed)
        self.encoders = nn.ModuleList(blocks)
        self.after_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.checkpointed_blocks = frozenset(checkpointed_blocks)

    def output_size(self) -> int:
        """Model width D."""
        return self.after_norm.normalized_shape[0]

    def hidden_states(self, x: Tensor, padding: Padding | None) -> list[Tensor]:
        """Every block's output (B, T, D), first to last, before the final norm."""
        for layer in self.embed:
            x = layer(zero_padding(x, padding))
        states = []
        for index, block in enumerate(self.encoders):
            if block.training and index in self.checkpointed_blocks:
                x = checkpoint(block, x, padding, use_reentrant=False)
            else:
                x = block(x, padding)
            states.append(x)
        return states

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        masks: Tensor | None = None,
        return_all_hs: bool = False,
    ):
        """ESPnet's form: (output, lengths, None), or ((output, states), lengths, None).

        ``x`` (B, T, D), ``lengths`` (B,) frames, or ``masks`` (B, T) True on padding.
        """
        frames = lengths if masks is None else (~masks).sum(1)
        padding = padding_for(frames.tolist(), x.shape[1], x.device)
        states = self.hidden_states(x, padding)
        output = self.after_norm(states[-1])
        return ((output, states) if return_all_hs else output), frames, None
