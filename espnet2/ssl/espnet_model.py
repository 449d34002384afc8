"""The self-supervised speech model, under ESPnet's name and with its methods.

Shapes: B batch, N samples, T frames, C front end channels, D model width.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from espnet2.nn.cnn_frontend import CNNFrontend
from espnet2.nn.e_branchformer import EBranchformerEncoder
from espnet2.nn.linear_projection import LinearProjection
from espnet2.nn.loss_output import LossOutput
from espnet2.nn.padding import Padding, padding_for
from espnet2.nn.precision import at_least_float32
from espnet2.nn.utterance_mvn import UtteranceMVN
from espnet2.ssl.checks import check_batch, check_labels
from espnet2.ssl.encode_output import EncodeOutput
from espnet2.ssl.losses import MaskedPredictionLoss, Targets, meters
from espnet2.ssl.masking import Masker

MAX_COMPILED_SHAPES = 256  # torch gives up after 8; a plan has a few dozen buckets at most


class ScaleGradient(torch.autograd.Function):
    """Identity whose gradient is multiplied by a constant."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


class ESPnetSSLModel(nn.Module):
    """Front end, pre-encoder, masker, encoder, losses.

    An utterance's features depend on nothing but the utterance: see ``encode``.
    """

    def __init__(
        self,
        frontend: CNNFrontend,
        normalize: UtteranceMVN | None,
        preencoder: LinearProjection | None,
        encoder: EBranchformerEncoder,
        masker: Masker,
        losses: Iterable[MaskedPredictionLoss],
        feature_grad_mult: float = 1.0,
        feature_penalty_weight: float = 0.0,
    ):
        """``feature_grad_mult``, ``feature_penalty_weight``: front end, in training only."""
        super().__init__()
        self.frontend = frontend
        self.normalize = normalize
        self.preencoder = preencoder
        self.encoder = encoder
        self.losses = nn.ModuleList(losses)  # before masker: the order of released checkpoints
        self.masker = masker
        self.feature_grad_mult = feature_grad_mult
        self.feature_penalty_weight = feature_penalty_weight
        self.inter_layer: dict[int, float] = {}

    def set_phase(
        self, mask_prob: float | None = None, inter_layer: dict[int, float] | None = None
    ) -> None:
        """Enter a phase of training; an argument left out stays as it was.

        ``inter_layer``: weight of the same loss on more blocks, counted from 1 as in the paper
        (XEUS: {10: 0.3} for its first 3,000 steps); {} for none.
        """
        num_blocks = len(self.encoder.encoders)
        for block in inter_layer or {}:
            if not 1 <= block <= num_blocks:
                raise ValueError(f"inter_layer: there is no block {block} of {num_blocks}")
        if mask_prob is not None:
            self.masker.mask_prob = mask_prob
        if inter_layer is not None:
            self.inter_layer = {block - 1: weight for block, weight in inter_layer.items()}

    def compile_blocks(self, for_any_length: bool) -> None:
        """torch.compile every block: code for each length of a batch, or one for all lengths.

        Blocks share their code: a length is compiled once, not once a block. One code for all
        lengths is what torch 2.13 makes for ``encode`` without gradients; in training its Inductor
        fixes the length where it writes the gradient of a convolution's input, and compiles again
        for each.
        """
        torch._dynamo.config.recompile_limit = MAX_COMPILED_SHAPES
        for block in self.encoder.encoders:
            block.compile(dynamic=for_any_length)

    def forward(
        self,
        speech: Tensor,
        speech_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        mask_uniforms: Tensor | None = None,
    ) -> LossOutput:
        """The training loss.

        ``speech`` (B, N) in -1..1, ``speech_lengths`` (B,) samples, ``text`` (B, T) cluster ids,
        ``text_lengths`` (B,) frames, ``mask_uniforms`` (B, masker.num_uniforms(T)) in [0, 1)
        (None: torch's generator). Lengths are best given as CPU tensors.

        Raises ValueError on a malformed batch.
        """
        if not self.losses:
            raise ValueError("this model was configured without a loss: give loss and loss_conf")
        feats, frames = self.features(speech, speech_lengths)
        num_classes = min(loss.num_classes for loss in self.losses)
        check_labels(text, text_lengths, frames, num_classes, feats.device)
        padding = padding_for(frames, feats.shape[1], feats.device)
        if self.training and self.feature_grad_mult != 1.0:
            feats = ScaleGradient.apply(feats, self.feature_grad_mult)
        x, is_masked = self.masker(self.project(feats, padding), padding, mask_uniforms)
        states = self.states(x, padding, use_final_output=True)
        is_visible = ~is_masked if padding is None else ~is_masked & ~padding.is_pad
        labels = text if padding is None else text.masked_fill(padding.is_pad, 0)
        return self.loss(states, Targets(labels, is_masked, is_visible), feats, padding)

    def encode(
        self,
        speech: Tensor,
        speech_lengths: Tensor,
        use_mask: bool = False,
        use_final_output: bool = True,
    ) -> EncodeOutput:
        """Hidden states of every block; the same for an utterance alone and in any batch.

        ``use_mask``: mask spans first (also in eval mode). ``use_final_output``: the last state
        went through the final norm; False: it is the raw output of the last block.

        Raises ValueError on a malformed batch.
        """
        feats, frames = self.features(speech, speech_lengths)
        padding = padding_for(frames, feats.shape[1], feats.device)
        x, mask_info = self.project(feats, padding), None
        if use_mask:
            x, is_masked = self.masker(x, padding)
            is_real = torch.ones_like(is_masked) if padding is None else ~padding.is_pad
            mask_info = {"mask_m": is_masked, "mask_u": is_real & ~is_masked}
        states = self.states(x, padding, use_final_output)
        return EncodeOutput(states, torch.tensor(frames, device=speech.device), mask_info)

    def inference_encode(
        self, speech: Tensor, speech_lengths: Tensor, use_mask: bool = False
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """ESPnet's form: (final norm's output, raw outputs of all blocks, lengths in frames)."""
        out = self.encode(speech, speech_lengths, use_mask=use_mask, use_final_output=False)
        return self.encoder.after_norm(out.layers[-1]), out.layers, out.lengths

    def features(self, speech: Tensor, speech_lengths: Tensor) -> tuple[Tensor, list[int]]:
        """Checked speech (B, N) -> front end features (B, T, C) and frames of each."""
        device = self.masker.mask_embedding.device
        window = self.frontend.receptive_samples
        lengths = check_batch(speech, speech_lengths, window, device)
        return self.frontend(at_least_float32(speech[:, : max(lengths)]), lengths)

    def _extract_feats(self, speech: Tensor, speech_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """ESPnet's form of ``features``: lengths as a tensor."""
        feats, frames = self.features(speech, speech_lengths)
        return feats, torch.tensor(frames, device=speech.device)

    def project(self, feats: Tensor, padding: Padding | None) -> Tensor:
        """Features (B, T, C) -> encoder input (B, T, D)."""
        if self.normalize is not None:
            feats = self.normalize(feats, padding)
        return feats if self.preencoder is None else self.preencoder(feats)[0]

    def states(self, x: Tensor, padding: Padding | None, use_final_output: bool) -> list[Tensor]:
        """Encoder input (B, T, D) -> one hidden state (B, T, D) a block."""
        states = self.encoder.hidden_states(x, padding)
        if use_final_output:
            states[-1] = self.encoder.after_norm(states[-1])
        return states

    def loss(
        self, states: list[Tensor], targets: Targets, feats: Tensor, padding: Padding | None
    ) -> LossOutput:
        """Sum of all losses, and the feature penalty in training."""
        total, counts, outcomes = torch.zeros((), device=feats.device), {}, []
        for index, loss in enumerate(self.losses):
            part, outcome = loss(states, targets, self.inter_layer)
            total = total + part
            outcomes.append(outcome)
            suffix = f"_{index}" if index else ""
            part_counts = meters(outcome, targets)
            counts.update({name + suffix: pair for name, pair in part_counts.items()})
        if self.training and self.feature_penalty_weight:
            num_masked = targets.is_masked.sum(1)  # (B,)
            penalty = (mean_square(feats, padding) * num_masked).sum()
            total = total + self.feature_penalty_weight * penalty
            counts["feature_penalty"] = (penalty.detach(), num_masked.sum())
        weight = self.losses[0].weight(targets)
        return LossOutput(loss_sum=total, weight=weight, counts=counts, frames=outcomes[0])


def mean_square(feats: Tensor, padding: Padding | None) -> Tensor:
    """Mean square (B,) of each utterance's features (B, T, C) on its own frames, at least fp32."""
    squares = at_least_float32(feats).square().mean(2)  # (B, T)
    if padding is None:
        return squares.mean(1)
    return squares.masked_fill(padding.is_pad, 0.0).sum(1) / (~padding.is_pad).sum(1)
