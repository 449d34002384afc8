"""What other people's code calls. A change here breaks it: it needs a line in CHANGELOG.md."""

import inspect
from dataclasses import fields

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from espnet2.nn import attention
from espnet2.nn.e_branchformer import EBranchformerEncoder
from espnet2.nn.linear_projection import LinearProjection
from espnet2.ssl.encode_output import EncodeOutput
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.tasks.asr import ASRTask
from espnet2.tasks.recogniser import SpeechRecogniser
from espnet2.tasks.ssl import SSLTask
from espnet2.utils.errors import XeusError

SIGNATURES = [
    (SSLTask.build_model, "(config)"),
    (
        SSLTask.build_model_from_file,
        "(config_file=None, model_file=None, device='cpu', *, config=None, ckpt=None, "
        "allow_partial=False)",
    ),
    (
        ASRTask.build_model_from_file,
        "(config_file=None, model_file=None, device='cpu', *, export=None)",
    ),
    (ASRTask.write_espnet_yaml, "(cell_folder, encoder, out)"),
    (SpeechRecogniser.transcribe, "(self, waves, batch_s=40.0)"),
    (
        ESPnetSSLModel.encode,
        "(self, speech, speech_lengths, use_mask=False, use_final_output=True)",
    ),
    (ESPnetSSLModel.inference_encode, "(self, speech, speech_lengths, use_mask=False)"),
    (
        ESPnetSSLModel.forward,
        "(self, speech, speech_lengths, text, text_lengths, mask_uniforms=None)",
    ),
    (ESPnetSSLModel._extract_feats, "(self, speech, speech_lengths)"),
    (LinearProjection.forward, "(self, x, lengths=None)"),
    (LinearProjection.output_size, "(self)"),
    (EBranchformerEncoder.forward, "(self, x, lengths, masks=None, return_all_hs=False)"),
    (EBranchformerEncoder.output_size, "(self)"),
]
WAVS = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([4000, 2000])
FRAMES = [12, 6]


def tiny(**encoder_conf):
    torch.manual_seed(0)
    return SSLTask.build_model(
        {
            "frontend_conf": {"shapes": [[8, 10, 5], *[[8, 3, 2]] * 4, *[[8, 2, 2]] * 2]},
            "encoder_conf": {"output_size": 16, "num_blocks": 3, **encoder_conf},
        }
    ).eval()


@pytest.mark.parametrize(
    ("function", "expected"), SIGNATURES, ids=[function.__qualname__ for function, _ in SIGNATURES]
)
def test_names_order_and_defaults_of_parameters_stay(function, expected):
    signature = inspect.signature(function)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    plain = signature.replace(parameters=bare, return_annotation=signature.empty)
    assert str(plain) == expected


def test_the_result_of_encode_keeps_its_readers():
    assert [field.name for field in fields(EncodeOutput)] == ["layers", "lengths", "mask_info"]
    out = tiny().encode(WAVS, LENGTHS, use_mask=True)
    assert [tuple(x.shape) for x in out.layers] == [(2, 12, 16)] * 3
    assert out.lengths.tolist() == FRAMES
    assert out[0] is out.layers is out["encoder_output"]
    assert out[0][-1] is out.layers[-1]
    assert out[1] is out.mask_info is out["mask_info"]
    assert out["encoder_output_lengths"] is out.lengths
    layers, mask_info, penalty = out
    assert (layers is out.layers, mask_info is out.mask_info, penalty) == (True, True, None)
    assert len(out) == 3
    assert sorted(mask_info) == ["mask_m", "mask_u"]
    assert {tuple(value.shape) for value in mask_info.values()} == {(2, 12)}


def test_a_model_keeps_its_parts_and_their_sizes():
    model = tiny()
    feats, frames = model._extract_feats(WAVS, LENGTHS)
    assert (feats.shape, frames.tolist()) == ((2, 12, 8), FRAMES)
    x, frames = model.preencoder(feats, frames)
    assert (x.shape, frames.tolist()) == ((2, 12, 16), FRAMES)
    is_pad = torch.arange(12) >= frames[:, None]
    (final, states), lengths, none = model.encoder(x, frames, masks=is_pad, return_all_hs=True)
    assert (final.shape, len(states), lengths.tolist(), none) == ((2, 12, 16), 3, FRAMES, None)
    assert model.encoder.output_size() == model.preencoder.output_size() == 16
    final_again, layers, lengths = model.inference_encode(WAVS, LENGTHS)
    torch.testing.assert_close((final_again, layers), (final, states))
    assert lengths.tolist() == FRAMES


def test_the_maskers_settings_are_live_on_the_model():
    model = tiny()
    masker = model.masker
    assert (masker.mask_prob, masker.mask_length, masker.mask_selection) == (0.8, 10, "static")
    for prob, length, counts in ((0, 10, {0}), (0.01, 1, {4}), (0.01, 4, range(9, 17))):
        masker.mask_prob, masker.mask_length = prob, length
        is_masked = model.encode(WAVS, LENGTHS, use_mask=True).mask_info["mask_m"]
        assert int(is_masked.sum()) in counts  # two utterances of at least two spans
    masker.mask_selection = "squares"
    with pytest.raises(ValueError, match="mask_selection must be one of static, uniform"):
        model.encode(WAVS, LENGTHS, use_mask=True)


class FlashCalls(TorchDispatchMode):
    """Counts calls of torch's flash attention kernels, whatever the device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.name().startswith("aten::_scaled_dot_product_flash_attention")
        return func(*args, **(kwargs or {}))


def flash_calls(model, wavs=WAVS[:, :2000], lengths=LENGTHS[[1, 1]]):
    """Flash attention calls of one encode; without padding one a layer."""
    with FlashCalls() as calls:
        model.encode(wavs, lengths)
    return calls.count


def test_the_flash_switch_changes_the_kernel_of_its_layer_alone():
    model = tiny()
    layers = model.encoder.encoders
    assert [layer.use_flash_attn for layer in layers] == [None] * 3
    assert flash_calls(model) == 0  # with gradients, on a CPU: the plain formula
    layers[1].use_flash_attn = True
    assert layers[1].attn.use_flash_attn is True
    assert flash_calls(model) == 1
    assert flash_calls(model, WAVS, LENGTHS) == 2  # with padding: one call an utterance
    with torch.no_grad():
        assert flash_calls(model) == 3  # torch's own choice
        layers[0].use_flash_attn = layers[1].use_flash_attn = False
        assert flash_calls(model) == 1
    layers[0].use_flash_attn = layers[1].use_flash_attn = None
    assert flash_calls(model) == 0


def test_a_switched_layer_names_its_kernel_in_the_log(capsys):
    attention.log_kernel.cache_clear()
    model = tiny()
    for switch, line in ((True, "flash"), (False, "plain (no flash)")):
        model.encoder.encoders[0].use_flash_attn = switch
        model.encode(WAVS, LENGTHS)
        assert f": attention: {line} kernel on cpu, torch.float32\n" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_flash_kernel_that_is_not_there_is_an_error():
    model = tiny(attention_dropout_rate=0.1)
    for layer in model.encoder.encoders:
        layer.use_flash_attn = True
    assert flash_calls(model) == 3  # eval: no dropout
    with pytest.raises(XeusError) as error:  # no CPU kernel drops attention weights
        flash_calls(model.train())
    assert str(error.value) == (
        "use_flash_attn is set, but no flash attention kernel runs here (cpu, torch.float32, "
        "head width 4, dropout 0.1): use bfloat16 on CUDA, no attention dropout on CPU, or "
        "use_flash_attn = None"
    )
