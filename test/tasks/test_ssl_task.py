"""The project page's code, repaired, on a tiny checkpoint; and what the door refuses."""

from argparse import Namespace

import numpy as np
import pytest
import soundfile as sf
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet2.ssl.interop import state_dict_as
from espnet2.tasks.ssl import SSLTask
from espnet2.utils.errors import CheckpointError, ConfigError


def test_the_pages_feature_extraction_equals_the_reference(export):
    folder, arrays = export
    device = "cuda" if torch.cuda.is_available() else "cpu"
    xeus_model, xeus_train_args = SSLTask.build_model_from_file(
        config=None, ckpt=folder / "checkpoint.pth", device=device
    )
    wavs, sampling_rate = sf.read(folder / "audio.wav")
    assert sampling_rate == 16000
    wav_lengths = torch.LongTensor([len(wav) for wav in [wavs]]).to(device)
    wavs = pad_sequence(torch.Tensor(np.array([wavs])), batch_first=True).to(device)
    feats = xeus_model.encode(wavs, wav_lengths, use_mask=False, use_final_output=False)[0][-1]
    theirs = torch.from_numpy(arrays["xeus/single0/layer2"])
    assert (feats.detach().cpu() - theirs).abs().max() < 1e-5 * theirs.abs().max()
    assert isinstance(xeus_train_args, Namespace)
    assert xeus_train_args.batch_bins == 1600000


def test_the_pages_flash_attention_switch_changes_the_kernel_and_not_the_features(export):
    folder, arrays = export
    model, _ = SSLTask.build_model_from_file(None, folder / "checkpoint.pth", "cpu")
    wavs, lengths = torch.from_numpy(arrays["in/wav"]), torch.from_numpy(arrays["in/wav_lens"])
    plain = model.encode(wavs, lengths, use_mask=False, use_final_output=False)[0][-1]
    for layer in model.encoder.encoders:
        layer.use_flash_attn = True
    exact = model.encode(wavs, lengths, use_mask=False, use_final_output=False)[0][-1]
    with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
        feats = model.encode(wavs, lengths, use_mask=False, use_final_output=False)[0][-1]
    for b, frames in enumerate((49, 38, 24)):
        torch.testing.assert_close(exact[b, :frames], plain[b, :frames], atol=1e-4, rtol=1e-4)
        error = (feats[b, :frames] - plain[b, :frames]).norm() / plain[b, :frames].norm()
        assert error < 0.05


def test_the_pages_masking_settings_take_effect(export):
    folder, arrays = export
    model, _ = SSLTask.build_model_from_file(
        config_file=folder / "config.yaml", model_file=folder / "checkpoint.pth"
    )
    wavs, lengths = torch.from_numpy(arrays["in/wav"]), torch.from_numpy(arrays["in/wav_lens"])
    model.masker.mask_prob = 0.65
    model.masker.mask_length = 20
    model.masker.mask_selection = "static"
    model.train()
    torch.manual_seed(0)
    out = model.encode(wavs, lengths, use_mask=True, use_final_output=False)
    is_masked = out.mask_info["mask_m"]
    assert out[0][-1].shape == (3, 49, 32)
    assert is_masked[0].any()
    assert not (is_masked & out.mask_info["mask_u"]).any()
    assert not out.mask_info["mask_u"][2, 24:].any()


def test_every_way_of_reading_the_result_gives_the_same_tensors(export):
    folder, arrays = export
    model, _ = SSLTask.build_model_from_file(None, folder / "checkpoint.pth")
    wavs, lengths = torch.from_numpy(arrays["in/wav"]), torch.from_numpy(arrays["in/wav_lens"])
    out = model.encode(wavs, lengths)
    layers, mask_info, penalty = out
    assert mask_info is None
    assert penalty is None
    assert out[0] is layers is out["encoder_output"] is out.layers
    assert out.lengths.tolist() == out["encoder_output_lengths"].tolist() == [49, 38, 24]
    with pytest.raises(KeyError, match="there are encoder_output, encoder_output_lengths"):
        out["features"]
    final, raw, frames = model.inference_encode(wavs, lengths)
    torch.testing.assert_close(final, layers[-1])
    torch.testing.assert_close(raw[:-1], layers[:-1])
    assert frames.tolist() == [49, 38, 24]


def test_espnets_inner_methods_lead_to_the_same_features(export):
    folder, arrays = export
    model, _ = SSLTask.build_model_from_file(None, folder / "checkpoint.pth")
    wavs, lengths = torch.from_numpy(arrays["in/wav"]), torch.from_numpy(arrays["in/wav_lens"])
    feats, frames = model._extract_feats(wavs, lengths)
    x, frames = model.preencoder(feats, frames)
    is_pad = torch.arange(x.shape[1]) >= frames[:, None]
    (final, states), out_frames, _ = model.encoder(x, frames, masks=is_pad, return_all_hs=True)
    out = model.encode(wavs, lengths, use_final_output=False)
    torch.testing.assert_close(states, out.layers)
    torch.testing.assert_close(final, model.inference_encode(wavs, lengths)[0])
    assert out_frames.tolist() == [49, 38, 24]


def test_the_model_comes_back_in_eval_mode_and_repeats_itself(export):
    folder, arrays = export
    model, _ = SSLTask.build_model_from_file(None, folder / "checkpoint.pth")
    assert not model.training
    wavs, lengths = torch.from_numpy(arrays["in/wav"]), torch.from_numpy(arrays["in/wav_lens"])
    one, two = (model.encode(wavs, lengths)[0][-1] for _ in range(2))
    assert torch.equal(one, two)


def test_an_exported_model_loads_again_in_either_layout(export):
    folder, arrays = export
    model, _ = SSLTask.build_model_from_file(None, folder / "checkpoint.pth")
    wavs, lengths = torch.from_numpy(arrays["in/wav"]), torch.from_numpy(arrays["in/wav_lens"])
    for layout in ("old", "new"):
        torch.save(state_dict_as(model, layout), folder / f"{layout}.pth")
        again, _ = SSLTask.build_model_from_file(None, folder / f"{layout}.pth")
        assert torch.equal(again.encode(wavs, lengths)[0][-1], model.encode(wavs, lengths)[0][-1])


def test_a_renamed_key_is_refused(export):
    folder, _ = export
    state = torch.load(folder / "checkpoint.pth", weights_only=True)
    state["encoder.after_nrom.weight"] = state.pop("encoder.after_norm.weight")
    torch.save(state, folder / "checkpoint.pth")
    with pytest.raises(CheckpointError, match=r"after_nrom.weight \(meant encoder.after_norm.wei"):
        SSLTask.build_model_from_file(None, folder / "checkpoint.pth")


def test_a_misspelt_yaml_key_is_refused_with_the_file_and_a_guess(export):
    folder, _ = export
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("encoder_conf", "encoder_cnf"))
    with pytest.raises(ConfigError, match="config.yaml: encoder_cnf .* did you mean"):
        SSLTask.build_model_from_file(None, folder / "checkpoint.pth")


def test_a_checkpoint_must_be_named_once(tmp_path):
    with pytest.raises(ConfigError, match="give the checkpoint as model_file or ckpt"):
        SSLTask.build_model_from_file()
    with pytest.raises(ConfigError, match="model_file and ckpt are the same; give one"):
        SSLTask.build_model_from_file(None, "a.pth", ckpt="b.pth")
    with pytest.raises(CheckpointError, match="a.pth: no such checkpoint file"):
        SSLTask.build_model_from_file(None, tmp_path / "a.pth")


def test_build_model_takes_a_mapping_or_a_namespace():
    keys = {"encoder_conf": {"num_blocks": 1, "output_size": 16}}
    for config in (keys, Namespace(**keys)):
        model = SSLTask.build_model(config)
        assert model.training
        assert model.encoder.output_size() == 16
