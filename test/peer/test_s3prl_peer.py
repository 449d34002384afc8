"""xeus_local in real s3prl, which runs as a process in its own environment."""

import json
import os
import re
import subprocess
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import soundfile
import torch
import yaml
from s3prl_export import HIDDEN, NUM_BLOCKS, write_export
from spoken_commands import write_intents, write_keywords
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import espnet2.s3prl
from espnet2.tasks.ssl import SSLTask

pytestmark = pytest.mark.peer

ENVIRONMENT = Path(__file__).resolve().parents[2] / "tools/s3prl_venv"
STEPS, LOG_STEPS = 30, 5


@pytest.fixture(scope="module", autouse=True)
def _s3prl():
    if not (ENVIRONMENT / ".installed").is_file():
        pytest.skip(f"{ENVIRONMENT} is missing; tools/install.sh --with_s3prl makes it")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with an export in it."""
    folder = tmp_path_factory.mktemp("s3prl")
    write_export(folder / "export")
    return folder


def run_s3prl(folder, *words):
    """Run a Python command of s3prl's environment in ``folder``; returns what it printed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HOME": str(folder)}
    result = subprocess.run(
        [ENVIRONMENT / "bin/python3", "-P", *words], capture_output=True, text=True, cwd=folder,
        env=environment, timeout=500, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def answers(folder):
    """(folder, arrays, facts) after s3prl has run the lines of the documentation."""
    example = espnet2.s3prl.__doc__.partition("\n\n")[2].rpartition("\n\n")[0]
    example = example.replace("exp/ssl_mini/export", str(folder / "export"))
    (folder / "example.py").write_text(dedent(example))
    rng = np.random.default_rng(2)
    waves = {f"wav{i}": rng.normal(0, 0.1, n) for i, n in enumerate((24000, 16000, 5001, 1000))}
    np.savez(folder / "audio.npz", **{k: v.astype(np.float32) for k, v in waves.items()})
    soundfile.write(folder / "audio.wav", waves["wav1"], 16000, subtype="FLOAT")
    printed = run_s3prl(folder, Path(__file__).with_name("s3prl_side.py"), folder)
    assert f"torch.Size([1, 50, {HIDDEN}])" in printed
    facts = json.loads((folder / "answers.json").read_text())
    return folder, np.load(folder / "answers.npz"), facts


def test_s3prl_lists_the_upstream_and_reads_its_shape(answers):
    _, _, facts = answers
    assert facts == {
        "rates": [320] * NUM_BLOCKS,
        "sizes": [HIDDEN] * NUM_BLOCKS,
        "old_rate": 320,
        "is_listed": True,
        "states_in_training": NUM_BLOCKS,
    }


@torch.no_grad()
def test_s3prl_gets_the_features_of_ssltask(answers):
    folder, arrays, _ = answers
    model, _ = SSLTask.build_model_from_file(None, folder / "export/model.safetensors")
    for name, wav in np.load(folder / "audio.npz").items():
        layers = model.encode(
            torch.from_numpy(wav)[None], torch.tensor([len(wav)]), use_final_output=False
        ).layers
        for i, layer in enumerate(layers):
            theirs = arrays[f"alone/{name}/{i}"]
            frames = layer.shape[1]
            assert len(theirs) == -(-len(wav) // 320) > frames  # s3prl counts begun frames
            assert np.allclose(theirs[:frames], layer[0].numpy(), atol=1e-5)
            assert (theirs[frames:] == theirs[frames - 1]).all()


def test_in_s3prl_too_no_utterance_depends_on_its_batch(answers):
    _, arrays, _ = answers
    names = [key for key in arrays if key.startswith("alone/")]
    assert len(names) == 4 * NUM_BLOCKS
    for key in names:
        together = arrays[key.replace("alone", "together")]
        assert np.allclose(arrays[key], together, atol=1e-5)


def test_both_featurizers_of_s3prl_weigh_all_layers(answers):
    _, arrays, _ = answers
    mean = arrays["stack"].mean(0)  # the weights start equal
    assert np.allclose(arrays["sum"], mean, atol=1e-5)
    assert len(arrays["old"]) == 75
    assert np.allclose(arrays["old"], mean[0], atol=1e-5)


def test_superb_keyword_spotting_learns_by_s3prl_main(folder):
    write_keywords(folder / "words")
    options = {
        "target_dir": "exp/ks", "cache_dir": "cache", "device": "cpu", "num_workers": 0,
        "prepare_data.gsc1": folder / "words/train",
        "prepare_data.gsc1_test": folder / "words/test",
        "build_upstream.name": "xeus_local", "build_upstream.path_or_url": folder / "export",
        "build_optimizer.conf.lr": 0.01, "build_batch_sampler.train.batch_size": 8,
        "train.total_steps": STEPS, "train.log_step": LOG_STEPS, "train.eval_step": STEPS,
        "train.save_step": STEPS,
    }  # fmt: skip
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    printed = run_s3prl(folder, "-m", "espnet2.s3prl", "SuperbKS", *words)
    losses = [
        float(value)
        for value in re.findall(r"train at step \d+$\n.*loss: ([\d.]+)$", printed, re.M)
    ]
    assert len(losses) == STEPS // LOG_STEPS
    assert losses[-1] < 0.8 * losses[0]
    (result,) = folder.glob("exp/ks/evaluate/*/*/result.yaml")
    assert 0 <= yaml.safe_load(result.read_text())["accuracy"] <= 1


def test_superb_intent_classification_learns_by_run_downstream(folder):
    write_intents(folder / "commands")
    config = {
        "runner": {
            "total_steps": STEPS, "gradient_clipping": 1, "gradient_accumulate_steps": 1,
            "log_step": LOG_STEPS, "eval_step": STEPS, "save_step": STEPS, "max_keep": 1,
            "eval_dataloaders": ["dev"],
        },
        "optimizer": {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 0.01},
        "downstream_expert": {
            "datarc": {
                "file_path": f"{folder}/commands", "num_workers": 0, "train_batch_size": 8,
                "eval_batch_size": 8,
            },
            "modelrc": {
                "projector_dim": 64, "select": "UtteranceLevel",
                "UtteranceLevel": {"pooling": "MeanPooling"},
            },
        },
    }  # fmt: skip
    (folder / "ic.yaml").write_text(yaml.safe_dump(config))
    command = ["-m", "espnet2.s3prl", "run_downstream", "--device", "cpu"]
    run_s3prl(
        folder, *command, "-m", "train", "-d", "fluent_commands", "-c", "ic.yaml", "-p", "exp/old",
        "-u", "xeus_local", "-k", folder / "export",
    )  # fmt: skip
    events = EventAccumulator(str(folder / "exp/old")).Reload()
    losses = [event.value for event in events.Scalars("fluent_commands/train-intent_loss")]
    assert len(losses) == STEPS // LOG_STEPS
    assert losses[-1] < 0.8 * losses[0]
    checkpoint = folder / f"exp/old/states-{STEPS}.ckpt"
    printed = run_s3prl(folder, *command, "-m", "evaluate", "-e", checkpoint)
    assert re.search(r"^test acc: [01]\.\d+$", printed, re.M)
