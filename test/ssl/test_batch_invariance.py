"""Same audio, same features: whatever else is in the batch."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2.tasks.ssl import SSLTask

torch.manual_seed(0)
MODEL = SSLTask.build_model(
    {
        "frontend_conf": {
            "shapes": [[8, 10, 5], *[[8, 3, 2]] * 4, *[[8, 2, 2]] * 2],
            "normalize_audio": True,
        },
        "encoder_conf": {
            "output_size": 16,
            "attention_heads": 2,
            "cgmlp_linear_units": 16,
            "num_blocks": 2,
            "use_ffn": True,
            "linear_units": 16,
            "merge_conv_kernel": 31,
        },
    }
).eval()
for parameter in MODEL.parameters():
    torch.nn.init.normal_(parameter, std=0.3)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(400, 9000), min_size=1, max_size=4), st.floats(-3, 3))
@torch.no_grad()
def test_an_utterance_has_the_same_features_alone_and_in_any_batch(lengths, gain):
    generator = torch.Generator().manual_seed(sum(lengths))
    wavs = [torch.randn(n, generator=generator) * 10 ** (gain * b) for b, n in enumerate(lengths)]
    width = max(lengths) + 77  # a tensor may also be longer than its longest utterance
    batch = torch.full((len(wavs), width), 123.0)  # padding need not be zero
    for row, wav in zip(batch, wavs, strict=True):
        row[: len(wav)] = wav
    together = MODEL.encode(batch, torch.tensor(lengths))
    for b, wav in enumerate(wavs):
        alone = MODEL.encode(wav[None], torch.tensor([len(wav)]))
        frames = together.lengths[b]
        assert frames == alone.lengths[0]
        for x, y in zip(together.layers, alone.layers, strict=True):
            torch.testing.assert_close(x[b, :frames], y[0], atol=2e-4, rtol=1e-3)


def test_equal_lengths_give_the_same_loss_with_and_without_padding_in_the_tensor():
    torch.manual_seed(0)
    config = {"loss": "hubert_ce", "loss_conf": {"num_classes": 5, "final_dim": 8}}
    config |= {"frontend_conf": {"shapes": [[8, 10, 5], [8, 8, 8], [8, 8, 8]]}}
    config |= {"encoder_conf": {"output_size": 16, "num_blocks": 1, "dropout_rate": 0.0}}
    model = SSLTask.build_model(config)
    speech, lengths = torch.randn(2, 4000), torch.tensor([4000, 4000])
    frames = model.frontend.num_frames(4000)
    batch = {
        "speech_lengths": lengths,
        "text": torch.randint(0, 5, (2, frames)),
        "text_lengths": torch.tensor([frames, frames]),
        "mask_uniforms": torch.rand(2, 2 * frames + 1),
    }
    plain = model(speech, **batch).loss_sum
    padded = model(torch.nn.functional.pad(speech, (0, 500)), **batch).loss_sum
    torch.testing.assert_close(padded, plain)
