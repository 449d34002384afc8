"""Multi-head self-attention through torch's scaled_dot_product_attention.

Shapes: B batch, T frames, D model width, H heads, K width of one head.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.attention import SDPBackend, sdpa_kernel

from espnet2.nn.dropout import drop, drop_again
from espnet2.nn.padding import Padding
from espnet2.utils.errors import XeusError
from espnet2.utils.logs import log

PLAIN_KERNELS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class SelfAttention(nn.Module):
    """Attention of a sequence to itself.

    ``use_flash_attn`` is live: None lets torch choose the kernel, True demands flash attention
    (an error where no flash kernel runs), False forbids it.
    """

    def __init__(self, dim: int, num_heads: int, dropout_rate: float = 0.0):
        super().__init__()
        self.num_heads = num_heads
        self.dropout_rate = dropout_rate
        self.use_flash_attn: bool | None = None
        self.linear_q = nn.Linear(dim, dim)
        self.linear_k = nn.Linear(dim, dim)
        self.linear_v = nn.Linear(dim, dim)
        self.linear_out = nn.Linear(dim, dim)

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, H, T, K)."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def project(self, x: Tensor) -> Tensor:
        """Queries, keys and values (B, T, 3D), by one matrix product where the layers are plain.

        (LoRA and other adapters put layers of their own in place: their weights are not all.)
        """
        layers = (self.linear_q, self.linear_k, self.linear_v)
        if any(type(layer) is not nn.Linear for layer in layers):
            return torch.cat([layer(x) for layer in layers], dim=-1)
        weight = torch.cat([layer.weight for layer in layers])
        bias = torch.cat([layer.bias for layer in layers])
        return F.linear(x, weight, bias)

    def forward(self, x: Tensor, padding: Padding | None) -> Tensor:
        """``x`` (B, T, D) -> (B, T, D); no frame attends to padding."""
        q, k, v = (self.split_heads(y) for y in self.project(x).chunk(3, dim=-1))
        dropout_p = self.dropout_rate if self.training else 0.0
        y = attend(q, k, v, padding, dropout_p, self.use_flash_attn)  # (B, H, T, K)
        return self.linear_out(y.transpose(1, 2).flatten(2))


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    padding: Padding | None,
    dropout_p: float = 0.0,
    use_flash: bool | None = None,
) -> Tensor:
    """softmax(q k' / sqrt(K)) v for (B, H, T, K) tensors.

    Raises XeusError when ``use_flash`` is True and no flash kernel takes these tensors.
    """
    keep = None if padding is None else padding.keep  # (B, 1, 1, T)
    if use_flash is None:
        if is_better_plain(q):
            return plain_attend(q, k, v, keep, dropout_p)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=keep, dropout_p=dropout_p)
    if use_flash:
        log_kernel("flash", q.device.type, q.dtype)
        return flash_attend(q, k, v, padding, dropout_p)
    log_kernel("plain (no flash)", q.device.type, q.dtype)
    with sdpa_kernel(PLAIN_KERNELS):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=keep, dropout_p=dropout_p)


def is_better_plain(q: Tensor) -> bool:
    """Whether the formula beats torch's kernels: in training on a CPU.

    (The backward pass of CPU flash attention takes 5 times as long at 99 frames, bf16; with
    dropout torch stores three T x T matrices.)
    """
    return q.device.type == "cpu" and q.requires_grad


def plain_attend(q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None, dropout_p: float) -> Tensor:
    """Attention by its formula; no (T, T) matrix outlives it but the dropout's, a byte a value."""
    return _PlainAttention.apply(q * q.shape[-1] ** -0.5, k, v, keep, dropout_p)


def attention_weights(q: Tensor, k: Tensor, keep: Tensor | None) -> Tensor:
    """softmax(q k') (B, H, T, T), zero where ``keep`` (B, 1, 1, T) is False."""
    scores = q @ k.transpose(-1, -2)
    if keep is not None:
        scores = scores.masked_fill(~keep, float("-inf"))
    return scores.softmax(-1, dtype=q.dtype)


class _PlainAttention(torch.autograd.Function):
    """dropout(softmax(q k')) v; the backward pass makes the weights again."""

    @staticmethod
    def forward(ctx, q, k, v, keep, rate):
        weights, kept = attention_weights(q, k, keep), None
        if rate > 0:
            weights, kept = drop(weights, rate)
        ctx.save_for_backward(q, k, v, keep, kept)
        ctx.rate = rate
        return weights @ v

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):
        q, k, v, keep, kept = ctx.saved_tensors
        weights = attention_weights(q, k, keep)
        dropped, dweights = weights, dy @ v.transpose(-1, -2)
        if kept is not None:
            dropped = drop_again(weights, kept, ctx.rate)
            dweights = drop_again(dweights, kept, ctx.rate)
        dscores = torch._softmax_backward_data(dweights, weights, -1, weights.dtype)
        dv = dropped.transpose(-1, -2) @ dy
        return dscores @ k, dscores.transpose(-1, -2) @ q, dv, None, None


def flash_attend(
    q: Tensor, k: Tensor, v: Tensor, padding: Padding | None, dropout_p: float
) -> Tensor:
    """The flash kernel alone; with padding, one call an utterance, zeros on padded queries.

    (CUDA's flash kernel takes no mask. Padded queries never reach a real frame.)
    """
    try:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            if padding is None:
                return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout_p)
            rows = [
                F.scaled_dot_product_attention(
                    q[b : b + 1, :, :n],
                    k[b : b + 1, :, :n],
                    v[b : b + 1, :, :n],
                    dropout_p=dropout_p,
                )
                for b, n in enumerate(padding.lengths)
            ]
    except RuntimeError as error:
        raise XeusError(
            f"use_flash_attn is set, but no flash attention kernel runs here ({q.device.type}, "
            f"{q.dtype}, head width {q.shape[-1]}, dropout {dropout_p}): use bfloat16 on CUDA, "
            "no attention dropout on CPU, or use_flash_attn = None"
        ) from error
    return torch.cat([F.pad(row, (0, 0, 0, q.shape[2] - row.shape[2])) for row in rows])


@lru_cache(maxsize=64)
def log_kernel(kernel: str, device: str, dtype: torch.dtype) -> None:
    """Say once a process which kernel a switched layer runs."""
    log(f"attention: {kernel} kernel on {device}, {dtype}")
