"""What a step should take before anyone measures it, and what would bound it.

Matrix products by their closed form (``ssl.flops``) at the rate that large ones reach; what lies
between them by the bytes that it moves; Adam by the bytes of its state; and the host's time to hand
over the kernels. The counts below are made by reading the layers, so they say where to look, not
what will be measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.flops import TRAINING, utterance_flops
from espnet2.utils.peaks import Peak

MATRIX_SHARE = 0.8  # of the data sheet's rate, reached by products of this size (FACTS: 790 of 989)
BYTES_SHARE = 0.9  # of the data sheet's bandwidth, reached by one large copy
ADAM_BYTES = 28  # a weight: weight, gradient and two means are read, all but the gradient written
# Bytes moved in training by all that is no matrix product, for each frame and value of ...
WIDE_BYTES = 37  # a feed-forward's hidden layer: activation and dropout, and both made again
GATE_BYTES = 40  # the gating MLP: GELU, norm, depthwise convolution, product, dropout
MODEL_BYTES = 340  # the model's width in a block: five norms, three residual sums, the merge
STEM_BYTES = 40  # a row of the CNN: norm and GELU, made again in the backward pass
FORWARD_SHARE = 0.35  # of these in the forward pass
COMPILED_SHARE = 0.5  # of these where neighbours are fused
KERNELS = {False: 250, True: 90}  # of a block in training, by whether it is compiled
LAUNCH_S = 8e-6  # of the host, a kernel
HEAD_KERNELS = 400  # of all that is no block


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Seconds of a step by what takes them."""

    matrix_s: float
    """Matrix products."""

    moved_s: float
    """Everything between them."""

    optimiser_s: float
    """Adam."""

    launch_s: float
    """The host, while the device works."""

    @property
    def seconds(self) -> float:
        """Of the whole step: device and host work at the same time, the slower one decides."""
        return max(self.matrix_s + self.moved_s + self.optimiser_s, self.launch_s)

    @property
    def bound(self) -> str:
        """What takes most of it."""
        parts = {
            "matrix products": self.matrix_s,
            "memory traffic": self.moved_s,
            "Adam": self.optimiser_s,
        }
        if self.launch_s > sum(parts.values()):
            return "launches"
        return max(parts, key=parts.__getitem__)


def predict(
    config: SSLModelConfig, peak: Peak, frames: list[int], *, is_compiled: bool,
    is_checkpointed: bool, weights: int,
) -> Prediction:  # fmt: skip
    """A training step of ``weights`` weights on utterances of ``frames`` frames.

    ``weights`` of 0: only features are computed, forward.
    """
    passes, share = (TRAINING, 1.0) if weights else (1, FORWARD_SHARE)
    again = 1 if is_checkpointed else 0  # forward passes more
    flops = (passes + again) * sum(utterance_flops(config, t, bool(weights)) for t in frames)
    moved = sum(frames) * block_bytes(config) * (share + again * FORWARD_SHARE)
    moved *= COMPILED_SHARE if is_compiled else 1.0
    moved += sum(frames) * stem_bytes(config) * share
    kernels = HEAD_KERNELS + config.encoder.num_blocks * KERNELS[is_compiled]
    bytes_s = BYTES_SHARE * peak.bytes_s
    return Prediction(
        matrix_s=flops / (MATRIX_SHARE * peak.matrix_flops_s),
        moved_s=moved / bytes_s,
        optimiser_s=ADAM_BYTES * weights / bytes_s,
        launch_s=LAUNCH_S * kernels * (share + again * FORWARD_SHARE),
    )


def block_bytes(config: SSLModelConfig) -> float:
    """Bytes moved between the matrix products of all blocks, a frame of training."""
    encoder = config.encoder
    layers = encoder.use_ffn + encoder.macaron_ffn
    return encoder.num_blocks * (
        WIDE_BYTES * layers * encoder.linear_units
        + GATE_BYTES * encoder.cgmlp_linear_units
        + MODEL_BYTES * encoder.output_size
    )


def stem_bytes(config: SSLModelConfig) -> float:
    """Bytes moved by the CNN's norms and activations, a frame of training."""
    shapes = config.frontend.shapes
    rows = (
        channels * prod(stride for _, _, stride in shapes[index + 1 :])
        for index, (channels, _, _) in enumerate(shapes)
    )
    return STEM_BYTES * sum(rows)
