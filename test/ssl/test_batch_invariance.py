"""Same audio, same features, same gradients: whatever else is in the batch.

In float32 the two differ by rounding. Float64 tells rounding from a leak: a leak keeps its size.
"""

from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2.nn import cgmlp, cnn_frontend, e_branchformer, utterance_mvn
from espnet2.nn.positions import WeightNormConv
from espnet2.tasks.ssl import SSLTask

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}  # of the largest absolute value
CLASSES = 6
# Biases that the softmax or the norm over time cancels: their gradient is rounding alone.
ZERO_GRADIENTS = {
    "layer_norm": ("attn.linear_k.bias",),
    "group_norm": ("attn.linear_k.bias", "frontend.layers.0.conv.bias"),
}
SWITCHES = (None, True, False)  # use_flash_attn


@lru_cache
def model(norm_mode="layer_norm", positions="conv", normalize=None, dtype=torch.float64):
    """A tiny model whose weights keep the scale of what flows, so that no leak fades away."""
    torch.manual_seed(0)
    built = SSLTask.build_model(
        {
            "frontend_conf": {
                "shapes": [[8, 10, 5], *[[8, 3, 2]] * 4, *[[8, 2, 2]] * 2],
                "normalize_audio": True,
                "norm_mode": norm_mode,
            },
            "normalize": normalize,
            "encoder_conf": {
                "output_size": 16,
                "attention_heads": 2,
                "pos_enc_layer_type": positions,
                "cgmlp_linear_units": 16,
                "num_blocks": 2,
                "use_ffn": True,
                "linear_units": 16,
                "merge_conv_kernel": 31,
                "dropout_rate": 0.0,
                "positional_dropout_rate": 0.0,
            },
            "loss": "hubert_ce",
            "loss_conf": {"num_classes": CLASSES, "final_dim": 8},
        }
    )
    for name, parameter in built.named_parameters():
        if parameter.dim() > 1:
            fan_in = parameter[0].numel()
            torch.nn.init.normal_(parameter, std=fan_in**-0.5)
        elif "norm" in name and name.endswith("weight"):
            torch.nn.init.normal_(parameter, 1.0, 0.2)
        else:
            torch.nn.init.normal_(parameter, std=0.2)
    for module in built.modules():
        if isinstance(module, WeightNormConv):
            norms = module.weight_v.detach().norm(dim=(0, 1), keepdim=True)
            module.weight_g.data.copy_(norms)
    return built.to(dtype).eval()


def switch(built, use_flash_attn):
    for block in built.encoder.encoders:
        block.use_flash_attn = use_flash_attn


def utterances(lengths, dtype, gain=0.0):
    """Noise with a slow swell; each utterance 10**gain times as loud as the one before."""
    generator = torch.Generator().manual_seed(sum(lengths))
    swells = [torch.linspace(0.5, 1.5, n) * 10 ** (gain * b) for b, n in enumerate(lengths)]
    return [(torch.randn(len(s), generator=generator) * s).to(dtype) for s in swells]


def collate(wavs, filler):
    width = max(map(len, wavs)) + 77  # a tensor may also be longer than its longest utterance
    batch = torch.full((len(wavs), width), filler, dtype=wavs[0].dtype)
    for row, wav in zip(batch, wavs, strict=True):
        row[: len(wav)] = wav
    return batch, torch.tensor([len(wav) for wav in wavs])


def relative(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@torch.no_grad()
def worst_difference(built, wavs, filler=123.0):
    """Largest difference between alone and in the batch, over utterances and layers."""
    together, worst = built.encode(*collate(wavs, filler)), 0.0
    for b, wav in enumerate(wavs):
        alone = built.encode(wav[None], torch.tensor([len(wav)]))
        frames = together.lengths[b]
        assert frames == alone.lengths[0] == (len(wav) - 400) // 320 + 1
        for x, y in zip(together.layers, alone.layers, strict=True):
            worst = max(worst, relative(x[b, :frames], y[0]))
    return worst


LENGTH = st.one_of(
    st.sampled_from([400, 719, 720]), st.integers(400, 20_000), st.integers(400, 320_000)
)  # samples: one frame to 20 s


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(LENGTH, min_size=1, max_size=4),
    gain=st.floats(-3, 3),
    filler=st.sampled_from([0.0, 123.0, -1e30, float("nan"), float("inf")]),
    norm_mode=st.sampled_from(["layer_norm", "group_norm"]),
    positions=st.sampled_from(["conv", "abs_pos", "none"]),
    normalize=st.sampled_from([None, "utterance_mvn"]),
    use_flash_attn=st.sampled_from(SWITCHES),
)
def test_an_utterance_has_the_same_features_alone_and_in_any_batch(
    dtype, lengths, gain, filler, norm_mode, positions, normalize, use_flash_attn
):
    built = model(norm_mode, positions, normalize, dtype)
    switch(built, use_flash_attn)
    assert worst_difference(built, utterances(lengths, dtype, gain), filler) < TOLERANCE[dtype]


@pytest.mark.parametrize(
    ("leak", "normalize", "least"),
    [
        (e_branchformer, None, 1e-2),
        (cgmlp, None, 1e-4),
        (cnn_frontend, None, 1e-2),
        (utterance_mvn, "utterance_mvn", 1e-3),
    ],
    ids=["positions and merge", "gate", "waveform", "mean of features"],
)
def test_the_test_above_would_see_padding_that_is_not_zeroed(monkeypatch, leak, normalize, least):
    built, wavs = model(normalize=normalize), utterances([9000, 30_000], torch.float64)
    switch(built, None)
    assert worst_difference(built, wavs) < 1e-12
    monkeypatch.setattr(leak, "zero_padding", lambda x, padding: x)
    assert worst_difference(built, wavs) > least


@torch.no_grad()
def test_a_small_signal_on_a_large_offset_keeps_its_features():
    precise, rounded = model(), model(dtype=torch.float32)
    switch(precise, None)
    switch(rounded, None)
    noise, other = utterances([160_000, 200_000], torch.float32)
    wav, length = 0.5 + 1e-3 * noise, torch.tensor([160_000])
    exact = precise.encode(wav[None].double(), length).layers
    for ours, theirs in zip(rounded.encode(wav[None], length).layers, exact, strict=True):
        assert relative(ours, theirs) < 5e-6
    assert worst_difference(rounded, [wav, other]) < 1e-5


def training_batch(lengths, dtype):
    """What a training forward takes, padded; frames of each utterance."""
    generator = torch.Generator().manual_seed(1)
    frames = [(n - 400) // 320 + 1 for n in lengths]
    width = max(frames)
    speech, speech_lengths = collate(utterances(lengths, dtype), float("nan"))
    batch = {
        "speech": speech,
        "speech_lengths": speech_lengths,
        "text": torch.randint(0, CLASSES, (len(lengths), width), generator=generator),
        "text_lengths": torch.tensor(frames),
        "mask_uniforms": torch.rand(len(lengths), 2 * width + 1, generator=generator),
    }
    return batch, frames


def single(batch, b, frames):
    """Utterance ``b`` of a training batch, alone, with the numbers that draw the same mask."""
    width, samples = batch["text"].shape[1], batch["speech_lengths"][b]
    drawn = batch["mask_uniforms"][b : b + 1]
    return {
        "speech": batch["speech"][b : b + 1, :samples],
        "speech_lengths": batch["speech_lengths"][b : b + 1],
        "text": batch["text"][b : b + 1, :frames],
        "text_lengths": batch["text_lengths"][b : b + 1],
        "mask_uniforms": torch.cat(
            [drawn[:, : frames + 1], drawn[:, width + 1 : width + 1 + frames]], dim=1
        ),
    }


def gradients(built, batches):
    """Loss and gradients, summed over batches."""
    built.zero_grad()
    loss = sum(built(**batch).loss_sum for batch in batches)
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in built.named_parameters()}


def assert_gradients_add_up(built, lengths, norm_mode, dtype):
    batch, frames = training_batch(lengths, dtype)
    loss, together = gradients(built, [batch])
    parts = [single(batch, b, count) for b, count in enumerate(frames)]
    loss_of_parts, of_parts = gradients(built, parts)
    assert relative(loss, loss_of_parts) < TOLERANCE[dtype]
    top = max(gradient.abs().max() for gradient in of_parts.values())
    for name, gradient in together.items():
        is_zero = name.endswith(ZERO_GRADIENTS[norm_mode])
        largest = top if is_zero else of_parts[name].abs().max()
        assert (gradient - of_parts[name]).abs().max() < TOLERANCE[dtype] * largest, name


# One utterance of 4000 samples is always there, for one frame alone is never masked.
TRAINING_LENGTHS = st.lists(st.integers(400, 20_000), min_size=1, max_size=3).map(
    lambda lengths: [*lengths, 4000]
)


@settings(max_examples=8, deadline=None)
@given(
    lengths=TRAINING_LENGTHS,
    norm_mode=st.sampled_from(["layer_norm", "group_norm"]),
    positions=st.sampled_from(["conv", "abs_pos", "none"]),
    use_flash_attn=st.sampled_from(SWITCHES),
)
def test_gradients_of_a_batch_are_the_sum_of_its_utterances(
    lengths, norm_mode, positions, use_flash_attn
):
    built = model(norm_mode, positions, "utterance_mvn", torch.float64).train()
    switch(built, use_flash_attn)
    assert_gradients_add_up(built, lengths, norm_mode, torch.float64)
    built.eval()


@pytest.mark.parametrize(("config", "norm_mode"), [("xeus", "layer_norm"), ("group", "group_norm")])
@settings(max_examples=4, deadline=None)
@given(lengths=TRAINING_LENGTHS)
def test_gradients_add_up_in_float32_too(reference, config, norm_mode, lengths):
    # The reference's weights: 8 channels under a layer norm would round ten times as badly.
    built = reference("old", config).model().train()
    assert_gradients_add_up(built, lengths, norm_mode, torch.float32)
