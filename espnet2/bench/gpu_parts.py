"""The parts of the model that cost most, each in several ways: depthwise convolution, CNN, block.

Shapes: B batch, T frames, C channels, K kernel, N samples, D model width.
"""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from espnet2.bench.gpu_micro import BF16_BYTES, Case, both_ways, case_table, compiled
from espnet2.bench.table import Table
from espnet2.bench.timing import Setup
from espnet2.bench.work import Work
from espnet2.data.frames import HOP_SAMPLES, SAMPLE_RATE_HZ, num_frames
from espnet2.nn.cnn_frontend import CNNFrontend, normalize_waveform
from espnet2.nn.depthwise_conv import conv_of_image, conv_of_rows
from espnet2.ssl.factory import build_block, build_frontend
from espnet2.ssl.flops import TRAINING, block_flops, cnn_flops
from espnet2.ssl.part_configs import FrontendConfig

FLOAT_BYTES = 4
FORWARD_TRIPS, TRAINING_TRIPS = 2, 5  # read x, write y; then read x and dy, write dx


def depthwise(setup: Setup) -> Table:
    """A depthwise convolution as wide as both branches of a block together."""
    batch, frames = (2, 24) if setup.is_tiny else (100, 1000)
    channels = 2 * setup.model.encoder.output_size
    kernel = setup.model.encoder.merge_conv_kernel
    rows = torch.randn(batch, frames, channels, device=setup.device)
    weight = torch.randn(channels, 1, kernel, device=setup.device) / kernel
    bias = torch.randn(channels, device=setup.device)
    reference = conv_of_rows(rows, weight, bias)
    size, flops = rows.numel(), 2.0 * kernel * rows.numel()
    parameters = [x.to(torch.bfloat16).requires_grad_() for x in (weight, bias)]

    def case(name, function, x, expected) -> Case:
        inputs = [x.to(torch.bfloat16).requires_grad_(), *parameters]
        return Case(
            name=name,
            function=function,
            inputs=inputs,
            forward=Work(vector_flops=flops, moved_bytes=FORWARD_TRIPS * BF16_BYTES * size),
            train=Work(
                vector_flops=TRAINING * flops, moved_bytes=TRAINING_TRIPS * BF16_BYTES * size
            ),
            wrt=inputs,
            reference=expected,
        )

    columns = rows.transpose(1, 2).contiguous()
    cases = [
        *both_ways(case("conv1d, channels first", conv1d, columns, reference.transpose(1, 2))),
        *both_ways(case("conv1d of rows", conv_of_rows, rows, reference)),
        *both_ways(case("conv2d one pixel wide", conv_of_image, rows, reference)),
        compiled(case("shifted sums", shifted_sums, rows, reference)),
    ]
    title = f"depthwise convolution, bf16, (B, T, C) = {tuple(rows.shape)}, kernel {kernel}"
    return case_table(setup, title, cases)


def conv1d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``x`` (B, C, T), ``weight`` (C, 1, K) -> (B, C, T)."""
    return F.conv1d(x, weight, bias, padding=weight.shape[2] // 2, groups=weight.shape[0])


def shifted_sums(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``x`` (B, T, C) -> (B, T, C) as K multiplications and additions, for a compiler to fuse."""
    frames, kernel = x.shape[1], weight.shape[2]
    half = kernel // 2
    padded = F.pad(x, (0, 0, half, half)).float()  # (B, T+K-1, C)
    total = bias.float()
    for tap in range(kernel):
        total = total + padded[:, tap : tap + frames] * weight[:, 0, tap].float()
    return total.to(x.dtype)


def stem(setup: Setup) -> Table:
    """The convolutional front end, as matrix products and as convolutions."""
    batch, seconds = (2, 1) if setup.is_tiny else (4, 100)
    config = setup.model.frontend
    with setup.device:
        frontend = build_frontend(config)
        speech = torch.randn(batch, seconds * SAMPLE_RATE_HZ)
    lengths = [speech.shape[1]] * batch
    with torch.no_grad():
        reference = frontend(speech, lengths)[0]
    samples = float(speech.numel())
    flops = cnn_flops(config.shapes) * batch * num_frames(speech.shape[1])
    stored = samples / HOP_SAMPLES * rows_stored(config)

    def case(name, function) -> Case:
        return Case(
            name=name,
            function=function,
            inputs=(speech,),
            forward=Work(matrix_flops=flops, moved_bytes=FORWARD_TRIPS * BF16_BYTES * stored),
            train=Work(
                matrix_flops=TRAINING * flops, moved_bytes=TRAINING_TRIPS * BF16_BYTES * stored
            ),
            wrt=list(frontend.parameters()),
            reference=reference,
            module=frontend,
        )

    cases = [
        *both_ways(case("matrix products", lambda x: frontend(x, lengths)[0])),
        *both_ways(case("conv1d", lambda x: conv1d_stem(frontend, x))),
    ]
    title = f"CNN, bf16 autocast, {batch} × {seconds} s, {config.shapes[-1][0]} channels"
    return case_table(setup, title, cases)


def rows_stored(config: FrontendConfig) -> int:
    """Numbers that the layers' outputs hold for one frame of the last layer."""
    strides = [stride for _, _, stride in config.shapes]
    return sum(
        channels * prod(strides[i + 1 :]) for i, (channels, _, _) in enumerate(config.shapes)
    )


def conv1d_stem(frontend: CNNFrontend, speech: Tensor) -> Tensor:
    """``speech`` (B, N) -> (B, T, C) with the front end's weights and torch's own convolution."""
    x = speech[..., None]  # (B, N, 1)
    if frontend.normalize_audio:
        x = normalize_waveform(x, None)
    x = x.transpose(1, 2)  # (B, 1, N)
    for layer in frontend.layers:
        y = F.conv1d(x, layer.conv.weight, layer.conv.bias, layer.stride).transpose(1, 2)
        x = F.gelu(layer.layer_norm(y)).transpose(1, 2)  # (B, C, T)
    return x.transpose(1, 2)


def layer(setup: Setup) -> Table:
    """One E-Branchformer block."""
    batch, frames = (2, 24) if setup.is_tiny else (100, 1000)
    config = setup.model.encoder
    with setup.device:
        block = build_block(config)
        x = torch.randn(batch, frames, config.output_size)
    with torch.no_grad():
        reference = block.eval()(x, None)
    x.requires_grad_()
    flops = sum(block_flops(config, frames).values()) * batch * frames
    size = FLOAT_BYTES * x.numel()
    case = Case(
        name="E-Branchformer block",
        function=lambda x: block(x, None),
        inputs=(x,),
        forward=Work(matrix_flops=flops, moved_bytes=FORWARD_TRIPS * size),
        train=Work(matrix_flops=TRAINING * flops, moved_bytes=TRAINING_TRIPS * size),
        wrt=[x, *block.parameters()],
        reference=reference,
        module=block,
    )
    title = f"one block, bf16 autocast, {batch} × {frames} frames, width {config.output_size}"
    return case_table(setup, title, both_ways(case))
