"""The closed form of arithmetic gives the published figures, and what torch itself counts."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from espnet2.bench import gpu
from espnet2.bench.gpu_parts import conv1d_stem
from espnet2.ssl.factory import build_block, build_frontend, build_loss, build_model
from espnet2.ssl.flops import (
    block_flops,
    cnn_flops,
    forward_flops,
    training_flops,
    utterance_flops,
)

FRAMES_S = 50


@pytest.fixture(scope="module")
def xeus():
    return gpu.configs(gpu.XEUS, is_tiny=False)[0]


@pytest.fixture(scope="module")
def tiny():
    return gpu.configs(gpu.XEUS, is_tiny=True)[0]


def counted(call):
    """Operations of the matrix products in ``call``, by torch's own counter."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


@pytest.mark.parametrize(("seconds", "gflop"), [(10, 64.0), (20, 66.0), (40, 69.8)])
def test_a_second_of_audio_costs_xeus_the_published_arithmetic(xeus, seconds, gflop):
    parts = forward_flops(xeus, seconds * FRAMES_S)
    assert round(sum(parts.values()) * FRAMES_S / 1e9, 1) == gflop


def test_the_parts_of_xeus_cost_what_was_published(xeus):
    short, long = (forward_flops(xeus, seconds * FRAMES_S) for seconds in (10, 40))
    giga = {name: flops * FRAMES_S / 1e9 for name, flops in short.items()}
    assert giga["cnn"] == pytest.approx(4.91, abs=0.005)
    assert giga["feed_forward"] == pytest.approx(31.9, abs=0.05)
    assert giga["gating"] == pytest.approx(12.1, abs=0.05)
    assert giga["projections"] == pytest.approx(8.0, abs=0.05)
    assert giga["merge"] == pytest.approx(4.1, abs=0.05)
    assert giga["positions"] == pytest.approx(0.84, abs=0.005)
    assert giga["head"] + giga["preencoder"] == pytest.approx(0.29, abs=0.005)
    assert giga["attention"] == pytest.approx(1.95, abs=0.005)
    assert long["attention"] * FRAMES_S / 1e9 == pytest.approx(7.8, abs=0.05)


def test_a_block_costs_what_torch_counts(tiny):
    block, frames, batch = build_block(tiny.encoder), 24, 2
    x = torch.randn(batch, frames, tiny.encoder.output_size)
    expected = sum(block_flops(tiny.encoder, frames).values()) * batch * frames
    assert counted(lambda: block(x, None)) == expected


def test_the_cnn_costs_what_torch_counts_but_for_the_frames_at_the_end(tiny):
    frontend, seconds, batch = build_frontend(tiny.frontend), 4, 2
    speech = torch.randn(batch, seconds * 16_000)
    frames = conv1d_stem(frontend, speech).shape[1]
    expected = cnn_flops(tiny.frontend.shapes) * batch * frames
    # A layer also makes the frames between the last whole windows: 80 samples of 320.
    assert counted(lambda: conv1d_stem(frontend, speech)) == pytest.approx(expected, rel=0.005)


def test_the_head_costs_what_torch_counts(tiny):
    decoder, frames = build_loss(tiny, 0).decoder, 24
    x = torch.randn(1, frames, tiny.encoder.output_size)
    assert counted(lambda: decoder(x)) == frames * forward_flops(tiny, frames)["head"]


def test_positions_cost_what_torch_counts_but_for_one_tap_of_zeros(tiny):
    positions, frames = build_model(tiny).encoder.embed[0], 24
    x = torch.randn(1, frames, tiny.encoder.output_size)
    expected = frames * forward_flops(tiny, frames)["positions"]
    assert counted(lambda: positions(x)) == expected * 129 / 128


def test_backward_multiplies_twice_as_much_as_forward(tiny):
    decoder = build_loss(tiny, 0).decoder
    x = torch.randn(1, 24, tiny.encoder.output_size, requires_grad=True)
    assert counted(lambda: decoder(x).sum().backward()) == 3 * counted(lambda: decoder(x))


def test_features_need_no_head(tiny):
    head = forward_flops(tiny, 24)["head"]
    assert utterance_flops(tiny, 24) - utterance_flops(tiny, 24, has_head=False) == 24 * head > 0


def test_training_costs_three_forward_passes_of_each_row_by_its_own_length(tiny):
    batch = {"speech_lengths": torch.tensor([16_000, 16_000, 8_000])}
    expected = 3 * (2 * utterance_flops(tiny, 49) + utterance_flops(tiny, 24))
    assert training_flops(tiny)(batch) == expected
