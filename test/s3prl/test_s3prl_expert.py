"""The upstream that s3prl is given: SSLTask's features, whatever the batch."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest
import torch
import yaml
from s3prl_export import HIDDEN, MODEL, NUM_BLOCKS, write_export

import espnet2.s3prl
from espnet2.s3prl import __main__
from espnet2.s3prl.hub import register, xeus_local
from espnet2.tasks.ssl import SSLTask
from espnet2.utils.errors import CheckpointError, ConfigError

RATES = ("dropout_rate", "attention_dropout_rate", "positional_dropout_rate")


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return write_export(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def upstream(export):
    return xeus_local(export)


def waves(*lengths):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, generator=generator) * 0.1 for length in lengths]


@torch.no_grad()
def test_the_hidden_states_are_those_of_ssltask(export, upstream):
    model, _ = SSLTask.build_model_from_file(None, export / "model.safetensors")
    (wav,) = waves(16000)
    expected = model.encode(wav[None], torch.tensor([16000]), use_final_output=False)
    found = upstream([wav])
    assert [x.shape for x in found["hidden_states"]] == [(1, 50, HIDDEN)] * NUM_BLOCKS
    for ours, theirs in zip(found["hidden_states"], expected.layers, strict=True):
        assert torch.equal(ours[:, :49], theirs)
        assert torch.equal(ours[:, 49], theirs[:, 48])
    assert found["last_hidden_state"] is found["hidden_states"][-1]
    assert upstream.get_downsample_rates("hidden_states") == 320


@torch.no_grad()
def test_no_utterance_depends_on_the_others_nor_do_frames_after_its_end(upstream):
    batch = waves(16000, 4000, 9999)
    together = upstream(batch)["hidden_states"]
    for i, wav in enumerate(batch):
        for states, alone in zip(together, upstream([wav])["hidden_states"], strict=True):
            frames = alone.shape[1]
            assert torch.allclose(states[i, :frames], alone[0], atol=1e-5)
            last = alone[0, -1].expand(states.shape[1] - frames, -1)
            assert torch.allclose(states[i, frames:], last, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("length", [0, 1, 399, 400])
def test_a_waveform_may_have_any_length(upstream, length):
    states = upstream([torch.full((length,), 0.1), *waves(800)])["hidden_states"][0]
    assert states.shape == (2, 3, HIDDEN)
    assert states.isfinite().all()


@torch.no_grad()
def test_training_drops_no_layer_and_masks_nothing(export, tmp_path):
    no_dropout = dict.fromkeys(RATES, 0.0)
    config = {**MODEL, "encoder_conf": {**MODEL["encoder_conf"], **no_dropout}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    upstream = xeus_local(export, model_config=tmp_path / "config.yaml")
    assert not upstream.training
    (wav,) = waves(8000)
    before = upstream([wav])["hidden_states"]
    upstream.train()
    for _ in range(3):
        during = upstream([wav])["hidden_states"]
        assert len(during) == NUM_BLOCKS
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(before, during, strict=True))


def test_fine_tuning_reaches_the_front_end(export):
    upstream = xeus_local(export)
    sum(x.square().sum() for x in upstream(waves(4000))["hidden_states"]).backward()
    weight = upstream.model.frontend.layers[0].conv.weight
    assert weight.grad.abs().sum() > 0


def test_a_checkpoint_brings_its_configuration_or_says_what_is_missing(export, tmp_path):
    weights = (export / "model.safetensors").read_bytes()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/model.safetensors").write_bytes(weights)
    with pytest.raises(ConfigError, match="no config.yaml beside it"):
        xeus_local(tmp_path / "a/model.safetensors")
    assert xeus_local(tmp_path / "a/model.safetensors", model_config=export / "config.yaml")


def test_what_is_no_checkpoint_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="needs a checkpoint: path_or_url= of S3PRLUpstream"):
        xeus_local()
    with pytest.raises(ConfigError, match="reads files: download https://x.org/a.pth"):
        xeus_local("https://x.org/a.pth")
    with pytest.raises(CheckpointError, match="nowhere"):
        xeus_local(tmp_path / "nowhere")
    with pytest.raises(TypeError, match="layerdrop"):
        xeus_local(tmp_path, layerdrop=0.1)


def test_the_help_of_its_programs_can_be_pasted(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["espnet2.s3prl", "--help"])
    __main__.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: python3 -m espnet2.s3prl PROBLEM|run_downstream ..."
    assert max(map(len, lines)) <= 100
    assert sum(line.endswith("\\") for line in lines) == 3


@pytest.mark.parametrize("package", ["torchaudio", "s3prl"])
def test_without_s3prl_the_registration_says_what_to_install(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"pip install 'xeus\[s3prl\]'"):
        register()


def test_the_documentation_shows_the_lines_that_the_peer_test_runs():
    lines = espnet2.s3prl.__doc__.partition("\n\n")[2].rpartition("\n\n")[0]
    text = (Path(__file__).parents[2] / "doc/s3prl.md").read_text()
    assert f"```python\n{dedent(lines)}\n```\n" in text
