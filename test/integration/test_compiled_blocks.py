"""Compiled blocks compute what the others do."""

import shutil

import pytest
import torch

from espnet2.data.frames import num_frames
from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.factory import build_model

pytestmark = pytest.mark.integration

MODEL = {
    "frontend": "wav2vec_cnn",
    "frontend_conf": {"shapes": [[8, 40, 20], [8, 7, 4], [8, 4, 4]]},
    "preencoder": "linear",
    "preencoder_conf": {"output_size": 16},
    "encoder": "e_branchformer",
    "encoder_conf": {
        "output_size": 16, "attention_heads": 2, "num_blocks": 2, "cgmlp_linear_units": 16,
        "cgmlp_conv_kernel": 3, "input_layer": "wav2vec", "dropout_rate": 0.0,
    },
    "masker": "hubert",
    "loss": "hubert_ce",
    "loss_conf": {"final_dim": 8, "num_classes": 4},
}  # fmt: skip
ROWS = 2


def gradient(model, samples):
    draw = torch.Generator().manual_seed(samples)
    frames = num_frames(samples)
    output = model(
        speech=torch.randn(ROWS, samples, generator=draw),
        speech_lengths=torch.full((ROWS,), samples),
        text=torch.randint(4, (ROWS, frames), generator=draw),
        text_lengths=torch.full((ROWS,), frames),
        mask_uniforms=torch.rand(ROWS, 2 * frames + 1, generator=draw),
    )
    model.zero_grad()
    output.loss_sum.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler here")
@pytest.mark.skipif(
    " " in torch.__file__, reason="its C++ compiler cannot be told paths with spaces"
)
@pytest.mark.parametrize("for_any_length", [False, True])
def test_compiled_blocks_give_the_same_gradient(for_any_length):
    torch._dynamo.reset()
    plain = build_model(SSLModelConfig.from_espnet(MODEL, "test"))
    compiled = build_model(SSLModelConfig.from_espnet(MODEL, "test"))
    compiled.load_state_dict(plain.state_dict())
    compiled.compile_blocks(for_any_length=for_any_length)
    for samples in (6400, 8000):
        theirs = gradient(plain, samples)
        difference = (gradient(compiled, samples) - theirs).abs().max() / theirs.abs().max()
        assert difference < 1e-4  # sums in another order
    assert list(compiled.state_dict()) == list(plain.state_dict())
