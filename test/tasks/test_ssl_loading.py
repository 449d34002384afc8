"""What the door finds, loads in part, and refuses: files, folders, devices."""

import json

import pytest
import torch
from safetensors.torch import save_file

from espnet2.tasks.ssl import SSLTask
from espnet2.train.config import TrainConfig
from espnet2.train.distributed import World
from espnet2.train.loop import train
from espnet2.utils.config import to_dict
from espnet2.utils.errors import CheckpointError, ConfigError


def test_the_yaml_is_found_as_hugging_face_and_our_experiments_keep_it(export):
    folder, _ = export
    (folder / "xeus/model").mkdir(parents=True)
    path = folder / "xeus/model/xeus_checkpoint_new.pth"
    (folder / "checkpoint.pth").rename(path)
    with pytest.raises(
        ConfigError, match="no config.yaml beside it; put it there, or say which YAML it is"
    ):
        SSLTask.build_model_from_file(None, path)
    for place in ("xeus/model/config.yaml", "xeus/config.yaml", "xeus/model/train_xeus.yaml"):
        (folder / "config.yaml").rename(folder / place)
        _, args = SSLTask.build_model_from_file(None, str(path))
        assert args.batch_bins == 1600000
        (folder / place).rename(folder / "config.yaml")
    for name in ("a.yaml", "b.yaml"):
        (path.parent / name).write_text("")
    with pytest.raises(
        ConfigError, match="beside it; there are a.yaml, b.yaml; put it there, or say which YAML"
    ):
        SSLTask.build_model_from_file(None, path)


def test_a_hugging_face_folder_is_named_as_a_whole_and_knows_its_own_configuration(export, capsys):
    folder, arrays = export
    hf = folder / "hf"  # the config.yaml above it is not asked
    hf.mkdir()
    config = json.loads(str(arrays["xeus/cfg"])) | {"model_type": "xeus", "dtype": "float32"}
    config |= {"normalize": "utterance_mvn", "normalize_conf": {"eps": 1e-20}}  # text in YAML
    (hf / "config.json").write_text(json.dumps(config))
    state = torch.load(folder / "checkpoint.pth", weights_only=True)
    save_file(state, hf / "model.safetensors")
    for where in ((None, hf), (None, hf / "model.safetensors"), (hf / "config.json", hf)):
        model, args = SSLTask.build_model_from_file(*where)
        assert args.model_type == "xeus"
        assert model.normalize.eps == 1e-20
    assert capsys.readouterr().err == ""
    after_norm = "encoder.after_norm.weight"
    assert torch.equal(model.state_dict()[after_norm], state[after_norm])


def test_a_config_json_of_another_program_is_not_taken_for_a_configuration(export):
    folder, _ = export
    (folder / "hf").mkdir()
    (folder / "checkpoint.pth").rename(folder / "hf/checkpoint.pth")
    (folder / "hf/config.json").write_text('{"model_type": "hubert"}')
    _, args = SSLTask.build_model_from_file(None, folder / "hf/checkpoint.pth")
    assert args.batch_bins == 1600000  # of the config.yaml above
    with pytest.raises(ConfigError, match="config.json must hold a mapping, got a list"):
        (folder / "hf/config.json").write_text("[]")
        SSLTask.build_model_from_file(None, folder / "hf/checkpoint.pth")
    with pytest.raises(ConfigError, match="none.json: no such configuration file"):
        SSLTask.build_model_from_file(folder / "none.json", folder / "hf/checkpoint.pth")


def test_a_link_finds_the_yaml_beside_the_link(export, tmp_path):
    """Hugging Face's cache keeps files as links to blobs with hashes for names."""
    folder, _ = export
    (tmp_path / "blobs").mkdir()
    (folder / "checkpoint.pth").rename(tmp_path / "blobs/12ab")
    (folder / "checkpoint.pth").symlink_to(tmp_path / "blobs/12ab")
    model, _ = SSLTask.build_model_from_file(None, folder / "checkpoint.pth")
    assert model.encoder.output_size() == 32


def test_a_lfs_pointer_instead_of_the_checkpoint_says_what_to_do(export):
    folder, _ = export
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2306190165\n"
    (folder / "checkpoint.pth").write_text(pointer)
    with pytest.raises(CheckpointError, match="is a Git LFS pointer.*: run 'git lfs pull' there"):
        SSLTask.build_model_from_file(None, folder / "checkpoint.pth")


def test_a_partial_load_is_asked_for_at_the_door(export, capsys):
    folder, arrays = export
    state = torch.load(folder / "checkpoint.pth", weights_only=True)
    head = [key for key in state if key.startswith("losses.")]
    torch.save({k: v for k, v in state.items() if k not in head}, folder / "checkpoint.pth")
    with pytest.raises(CheckpointError, match=f"does not fit the model: missing {len(head)}"):
        SSLTask.build_model_from_file(None, folder / "checkpoint.pth")
    model, _ = SSLTask.build_model_from_file(None, folder / "checkpoint.pth", allow_partial=True)
    assert f"missing {len(head)}: {', '.join(head)}\n" in capsys.readouterr().err
    assert all(torch.isfinite(p).all() for p in model.parameters())
    feats = model.encode(torch.from_numpy(arrays["in/wav"][:1]), torch.tensor([16000]),
                         use_final_output=False)[0][-1]  # fmt: skip
    theirs = torch.from_numpy(arrays["xeus/single0/layer2"])
    assert (feats - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_what_our_own_training_saves_loads_with_the_yaml_of_its_experiment(tmp_path):
    """A real run of two steps: its resume file, its intermediate model, config.yaml above both."""

    class Batches:
        def loader(self, start, stop, num_workers):
            for step in range(start, stop):
                draw = torch.Generator().manual_seed(step)
                yield [{
                    "speech": torch.randn(1, 2000, generator=draw),
                    "speech_lengths": torch.tensor([2000]),
                    "text": torch.zeros(1, 49, dtype=torch.long),
                    "text_lengths": torch.tensor([49]),
                }]  # fmt: skip

    keys = {
        "frontend_conf": {"shapes": [[4, 10, 5], [4, 8, 8]]},
        "encoder_conf": {"output_size": 16, "num_blocks": 1},
        "loss_conf": {"num_classes": 5, "final_dim": 4},
    }
    config = TrainConfig(
        max_steps=2, train_dtype="float32", num_workers=0, valid_interval_steps=0,
        intermediate_interval_steps=1, log_interval_steps=1,
    )  # fmt: skip
    model = SSLTask.build_model(keys)
    train(model, Batches(), config, tmp_path, World(), settings={**keys, **to_dict(config)})
    for path in (tmp_path / "checkpoints/step_0000002.pth",
                 tmp_path / "intermediate/step_0000002.pth"):  # fmt: skip
        loaded, args = SSLTask.build_model_from_file(None, path)
        assert args.max_steps == 2
        for (name, ours), saved in zip(
            model.state_dict().items(), loaded.state_dict().values(), strict=True
        ):
            assert torch.equal(ours, saved), name


BAD_DEVICES = [
    ("cudda", "device 'cudda' is not a device; give cpu, cuda or cuda:0"),
    ("cuda:99", "device cuda:99: torch finds (no|1) CUDA device here; give cpu or another one"),
    ("xpu:77", "device xpu:77: this torch cannot use it here; give cpu"),
]


@pytest.mark.parametrize(("device", "message"), BAD_DEVICES)
def test_a_device_that_is_not_there_is_one_sentence(export, device, message):
    folder, _ = export
    with pytest.raises(ConfigError, match=f"^{message}$"):
        SSLTask.build_model_from_file(None, folder / "checkpoint.pth", device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_cuda_without_cuda_is_one_sentence(export):
    folder, _ = export
    with pytest.raises(ConfigError, match="^device cuda: torch finds no CUDA device here; "):
        SSLTask.build_model_from_file(None, folder / "checkpoint.pth", "cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("allow_partial", [False, True])
def test_a_model_loads_onto_the_gpu_whole(export, allow_partial):
    folder, arrays = export
    state = torch.load(folder / "checkpoint.pth", weights_only=True)
    if allow_partial:
        state.pop("losses.0.decoder.final_proj.bias")
        torch.save(state, folder / "checkpoint.pth")
    model, _ = SSLTask.build_model_from_file(
        None, folder / "checkpoint.pth", "cuda:0", allow_partial=allow_partial
    )
    assert {str(tensor.device) for tensor in model.state_dict().values()} == {"cuda:0"}
    wav = torch.from_numpy(arrays["in/wav"][:1]).cuda()
    feats = model.encode(wav, torch.tensor([16000]), use_final_output=False)[0][-1].cpu()
    theirs = torch.from_numpy(arrays["xeus/single0/layer2"])
    assert (feats - theirs).abs().max() < 1e-4 * theirs.abs().max()
