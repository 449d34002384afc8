"""The encoder in transformers: the same keys, the same features, and one format on the disk."""

import copy
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCTC,
    AutoProcessor,
)

import espnet2.hf
from espnet2.hf import XeusConfig, XeusModel
from espnet2.ssl.config import model_keys
from espnet2.ssl.interop import our_names
from espnet2.tasks.ssl import SSLTask
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[2]
NOTHING_ODD = {
    "missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set(), "error_msgs": []
}  # fmt: skip


def batch():
    """Two utterances of different length, what is behind the second one being noise."""
    speech = 0.1 * torch.randn(2, 16000, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 16000, dtype=torch.long)
    mask[1, 9000:] = 0
    return speech, mask


def test_a_folder_of_stage_9_opens_with_every_key_and_gives_the_features_of_the_task(folder):
    model, info = AutoModel.from_pretrained(
        folder, output_loading_info=True, trust_remote_code=False
    )
    assert info == NOTHING_ODD
    assert isinstance(model, XeusModel)
    assert not model.training
    ours, _ = SSLTask.build_model_from_file(None, folder)
    assert model.state_dict().keys() == ours.state_dict().keys()
    speech, mask = batch()
    with torch.no_grad():
        found = model(speech, mask, output_hidden_states=True)
        raw = ours.encode(speech, mask.sum(1), use_final_output=False).layers
        last = ours.encode(speech, mask.sum(1), use_final_output=True).layers[-1]
    assert torch.equal(found.last_hidden_state, last)
    assert len(found.hidden_states) == len(raw) + 1 == model.config.num_hidden_layers + 1
    for a, b in zip(found.hidden_states[1:], raw, strict=True):
        assert torch.equal(a, b)
    assert model.frames(mask.sum(1)).tolist() == [49, 27]
    assert model(speech, mask).hidden_states is None


def test_an_utterance_does_not_depend_on_its_batch(folder):
    model = AutoModel.from_pretrained(folder)
    speech, mask = batch()
    with torch.no_grad():
        together = model(speech, mask).last_hidden_state[1, :27]
        alone = model(speech[1:, :9000]).last_hidden_state[0]
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", ["old", "new"])
def test_what_is_saved_has_the_names_of_stage_9_and_opens_in_the_task(
    folder, golden, tmp_path, layout
):
    config, state = golden(layout)
    path = tmp_path / "saved"
    if layout == "old":
        AutoModel.from_pretrained(folder).save_pretrained(path)
    else:  # a model that came from no file
        model = XeusModel(XeusConfig(**config))
        model.load_state_dict(our_names(state))
        model.save_pretrained(path)
    saved = load_file(path / "model.safetensors")
    assert saved.keys() == our_names(state).keys()
    assert "encoder.embed.0.conv.weight_g" in saved
    ours, args = SSLTask.build_model_from_file(None, path)
    assert args.model_type == "xeus"
    model, info = AutoModel.from_pretrained(path, output_loading_info=True)
    assert info == NOTHING_ODD
    for name, tensor in our_names(state).items():
        assert torch.equal(ours.state_dict()[name], tensor), name
        assert torch.equal(model.state_dict()[name], tensor), name


def test_weights_of_no_file_are_drawn_as_the_package_draws_them_and_no_other(folder):
    state = load_file(folder / "model.safetensors")
    gone = ("encoder.embed.0.conv.weight_g", "masker.mask_embedding", "encoder.after_norm.weight")
    save_file(
        {k: v for k, v in state.items() if k not in gone},
        folder / "model.safetensors", {"format": "pt"},
    )  # fmt: skip
    model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert info["missing_keys"] == set(gone)
    found = model.state_dict()
    assert torch.equal(found["encoder.after_norm.weight"], torch.ones(32))
    assert 0 <= found["masker.mask_embedding"].min() < found["masker.mask_embedding"].max() < 1
    assert (found["encoder.embed.0.conv.weight_g"] > 0).all()
    for name in state.keys() - set(gone):
        assert torch.equal(found[name], state[name]), name


def test_a_probe_for_an_encoder_is_drawn_and_learns(folder):
    model, info = AutoModelForCTC.from_pretrained(folder, vocab_size=9, output_loading_info=True)
    assert info["unexpected_keys"] == set()
    assert {name.split(".")[0] for name in info["missing_keys"]} == {"probe"}
    assert torch.equal(model.probe.mix.weights(), torch.full((4,), 0.25))
    assert torch.equal(model.probe.transformer.norm.weight, torch.ones(256))
    speech, mask = batch()
    labels = torch.tensor([[3, 4, 5], [2, 2, -100]])
    model.train()
    losses = []
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(3):
        loss = model(speech, mask, labels=labels, use_mask=True).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert model.xeus.encoder.encoders[0].attn.linear_q.weight.grad.abs().max() > 0


def test_blocks_computed_twice_give_the_same_gradients_and_frozen_parts_none(folder):
    model = AutoModelForCTC.from_pretrained(folder, vocab_size=9, pad_token_id=0)
    speech, mask = batch()
    labels, gradients = torch.tensor([[3, 4, 5], [2, 2, -100]]), []
    blocks = model.xeus.encoder
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    for change in (lambda: None, enable):
        change()
        model.train().zero_grad()
        torch.manual_seed(1)
        model(speech, mask.float(), labels=labels).loss.backward()
        gradients.append(blocks.encoders[0].attn.linear_q.weight.grad.clone())
    assert blocks.checkpointed_blocks == {0, 1, 2}
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)
    model.freeze_feature_encoder()
    frozen = [name for name, x in model.named_parameters() if not x.requires_grad]
    assert frozen
    assert all(name.startswith("xeus.frontend.") for name in frozen)
    model.freeze_base_model()
    learning = {n.split(".")[0] for n, x in model.named_parameters() if x.requires_grad}
    assert learning == {"probe"}
    with pytest.raises(ConfigError, match="pad_token_id must be 0, the blank, got 3"):
        AutoModelForCTC.from_pretrained(folder, vocab_size=9, pad_token_id=3)
    with pytest.raises(ConfigError, match="no vocabulary.txt: an encoder alone has no tokenizer"):
        AutoProcessor.from_pretrained(folder)


def test_the_type_of_the_weights_is_as_asked(folder):
    model = AutoModel.from_pretrained(folder, dtype=torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    speech, mask = batch()
    exact = AutoModel.from_pretrained(folder)
    assert exact.dtype == torch.float32
    with torch.no_grad():
        wanted, found = (m(speech, mask).last_hidden_state for m in (exact, model))
    assert (found[0] - wanted[0]).abs().max() < 0.1 * wanted.abs().max()


def test_a_model_can_be_copied_and_answers_with_a_tuple(folder):
    model = copy.deepcopy(AutoModel.from_pretrained(folder))
    assert model.network.model.encoder is model.encoder
    speech, mask = batch()
    model.encoder.after_norm.weight.data.zero_()
    [last] = model(speech, mask, return_dict=False)
    assert torch.equal(last[0], model.encoder.after_norm.bias.expand(49, -1))


BAD_BATCHES = [
    ((torch.zeros(16000), None), r"input_values must be \(batch, samples\), got \(16000,\)"),
    ((torch.zeros(1, 800), torch.ones(1, 801)), r"attention_mask must have the shape .*\(1, 801\)"),
    ((torch.zeros(1, 800), torch.arange(800)[None] > 9), "padding belongs on the right"),
    ((torch.zeros(1, 300), None), "utterance 0 has 300 samples; at least 400 make one frame"),
    ((torch.zeros(1, 0), torch.zeros(1, 0)), "utterance 0 has 0 samples; at least 400 make one"),
    (
        (torch.zeros(1, 800, dtype=torch.int16), None),
        "floating point .* divide 16-bit audio by 32768",
    ),
    ((torch.full((1, 800), torch.nan), None), "utterance 0: sample 0 is NaN"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_BATCHES)
def test_a_malformed_batch_is_one_sentence(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        AutoModel.from_pretrained(folder)(*arguments)


BAD_LABELS = [
    ([[2, 3], [3, 4]], "labels must be a torch tensor, got list"),
    (torch.tensor([[2, 3]]), r"for 2 utterances, got torch.int64 \(1, 2\)"),
    (torch.zeros(2, 2), r"labels must be token ids .*, got torch.float32 \(2, 2\)"),
    (torch.tensor([[-100, 3], [2, 3]]), "labels must be token ids, then -100"),
    (torch.tensor([[2, 3], [2, 0]]), "labels hold 0, the blank, which no text has; padding is"),
    (torch.tensor([[2, 3], [2, 9]]), "labels hold 9; the vocabulary has 9 tokens"),
]


@pytest.mark.parametrize(("labels", "message"), BAD_LABELS)
def test_labels_that_are_no_tokens_are_one_sentence(folder, labels, message):
    model = AutoModelForCTC.from_pretrained(folder, vocab_size=9)
    with pytest.raises(ValueError, match=message):
        model(*batch(), labels=labels)


def test_the_configuration_keeps_the_keys_and_knows_the_sizes(folder, tmp_path):
    config = AutoConfig.from_pretrained(folder)
    sizes = (config.hidden_size, config.num_hidden_layers, config.num_attention_heads)
    assert sizes == (32, 3, 4)
    config.save_pretrained(tmp_path)
    written, read = read_json(folder / "config.json"), read_json(tmp_path / "config.json")
    assert {key: read[key] for key in written} == written
    write_json(folder / "config.json", written | {"encoder_conf": {"output_sise": 3}})
    with pytest.raises(ConfigError, match=r"config.json: encoder_conf.*output_sise"):
        AutoModel.from_pretrained(folder)
    with pytest.raises(ConfigError, match="give vocab_size"):
        espnet2.hf.XeusForCTC(XeusConfig())


def test_the_published_size_has_the_published_names():
    keys = load_yaml(ROOT / "conf/pretrain/xeus.yaml")
    config = XeusConfig(**model_keys(keys)[0])
    with torch.device("meta"):
        model = XeusModel(config)
    lines = (ROOT / "test/golden/keys_xeus_full_old.txt").read_text().splitlines()
    found = {(name, str(tuple(x.shape))) for name, x in model.state_dict().items()}
    assert found == {tuple(line.split("\t")[:2]) for line in lines}
    assert model.num_parameters() == 576_484_736
    assert (config.hidden_size, config.num_hidden_layers) == (1024, 19)


def test_without_transformers_the_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    spec = importlib.util.spec_from_file_location("another_hf", espnet2.hf.__file__)
    with pytest.raises(ConfigError, match=r"needs transformers: pip install 'xeus\[hf\]'"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_attention_is_of_torch_and_eager_forbids_flash(folder):
    model = AutoModel.from_pretrained(folder)
    layers = model.encoder.encoders

    def switches():
        return {layer.attn.use_flash_attn for layer in layers}

    assert (model.config._attn_implementation, switches()) == ("sdpa", {None})
    speech, mask = batch()
    with torch.no_grad():
        wanted = model(speech, mask).last_hidden_state[0]
        for name, switch in (("eager", False), ("sdpa", None)):
            model.set_attn_implementation(name)
            assert switches() == {switch}
            found = model(speech, mask).last_hidden_state[0]
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    for cls, more in ((AutoModel, {}), (AutoModelForCTC, {"vocab_size": 9})):
        model = cls.from_pretrained(folder, attn_implementation="eager", **more)
        layers = model.base_model.encoder.encoders
        assert (model.config._attn_implementation, switches()) == ("eager", {False})
        with pytest.raises(ConfigError, match="'flash_attention_2' is none of XEUS, .* sdpa lets"):
            cls.from_pretrained(folder, attn_implementation="flash_attention_2", **more)
    config = read_json(folder / "config.json")
    config["encoder_conf"]["use_flash_attn"] = False
    write_json(folder / "config.json", config)
    layers = AutoModel.from_pretrained(folder).encoder.encoders
    assert switches() == {False}


@pytest.mark.parametrize(("cls", "more"), [(AutoModel, {}), (AutoModelForCTC, {"vocab_size": 9})])
def test_float16_on_a_cpu_is_refused_with_what_is_fast(folder, cls, more):
    model = cls.from_pretrained(folder, dtype=torch.float16, **more)
    message = r"load it with dtype=torch.float32 or torch.bfloat16, or move it to a GPU$"
    with pytest.raises(ConfigError, match=message):
        model(*batch())
    assert model.float()(*batch())[0].isfinite().any()
