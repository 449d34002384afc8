"""What stage 11 needs, looked for before stage 10."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from espnet2.asr.config import EncoderSpec
from espnet2.bin import preflight
from espnet2.train.cells import finetune_config
from espnet2.train.preflight import refuse_encoders, refuse_monolingual
from espnet2.utils.cli import exit_status
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.gpus import refuse_missing_gpus

CONFIG = finetune_config(
    {
        "encoders": {"mine": {"kind": "export"}, "fbank": {"kind": "fbank"}},
        "tasks": ["mono"], "monolingual": ["eng/mls", "qoj/commonvoice"],
        "training": {"max_steps": 1},
    },
    "test",
)  # fmt: skip


def with_encoder(**spec):
    return replace(CONFIG, encoders={"mine": EncoderSpec(**spec)})


def test_an_export_that_stage_9_makes_is_not_missed_and_any_other_is(tmp_path):
    refuse_encoders(CONFIG, None, is_exported_later=True)
    with pytest.raises(ConfigError, match="encoder mine needs an exported model: give --export"):
        refuse_encoders(CONFIG, None, is_exported_later=False)
    elsewhere = with_encoder(kind="random", path=tmp_path)
    with pytest.raises(ConfigError, match="encoder mine: .* holds no config.yaml of an exported"):
        refuse_encoders(elsewhere, None, is_exported_later=True)
    (tmp_path / "config.yaml").touch()
    refuse_encoders(elsewhere, None, is_exported_later=True)
    with pytest.raises(ConfigError, match="encoder mine: .* holds none of xeus_checkpoint_new.pth"):
        refuse_encoders(CONFIG, tmp_path, is_exported_later=False)


def test_a_checkpoint_and_its_configuration_are_both_looked_for(tmp_path):
    config = with_encoder(kind="checkpoint", path=tmp_path / "model/xeus.pth")
    with pytest.raises(ConfigError, match=r"encoder mine: .*model/xeus.pth: no such file"):
        refuse_encoders(config, None, is_exported_later=False)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/xeus.pth").touch()
    with pytest.raises(ConfigError, match=r"encoder mine: .*no config.yaml beside it"):
        refuse_encoders(config, None, is_exported_later=False)
    (tmp_path / "config.yaml").write_text("encoder: e_branchformer\n")
    refuse_encoders(config, None, is_exported_later=False)


def test_an_encoder_that_is_not_used_may_lack_its_files():
    refuse_encoders(replace(CONFIG, only_encoders=["fbank"]), None, is_exported_later=False)
    with pytest.raises(ConfigError, match="encoder mine needs an exported model"):
        refuse_encoders(replace(CONFIG, only_encoders=["mine"]), None, is_exported_later=False)


def test_configurations_of_mono_are_those_of_the_tree(tmp_path):
    for place in ("mls/eng", "commonvoice/org_jpn", "mls/deu"):
        (tmp_path / place / "wav").mkdir(parents=True)
    refuse_monolingual(CONFIG, tmp_path)
    refuse_monolingual(replace(CONFIG, tasks=["lid"], monolingual=["xxx/yyy"]), tmp_path)
    typo = replace(CONFIG, monolingual=["eng/ml", "deu/mls", "fra/mls"])
    with pytest.raises(
        ConfigError,
        match=r"monolingual: .* has no eng/ml, fra/mls; did you mean 'eng/mls'\?; give the whole "
        r"tree, or run the rest: --set finetune.monolingual=\[deu/mls\]$",
    ):
        refuse_monolingual(typo, tmp_path)
    with pytest.raises(DataError, match="is not a folder; give the root of an ML-SUPERB tree"):
        refuse_monolingual(CONFIG, tmp_path / "nowhere")


def test_configurations_of_mono_are_those_of_the_training_directory(tmp_path):
    config = replace(CONFIG, data=replace(CONFIG.data, kind="kaldi"), monolingual=["eng/mine"])
    for split in ("train", "dev", "test"):
        folder = tmp_path / "mine" / split
        folder.mkdir(parents=True)
        for table in ("wav.scp", "text"):
            (folder / table).touch()
        (folder / "utt2lang").write_text("a eng\nb deu\n")
    refuse_monolingual(config, tmp_path / "mine")
    none = replace(config, monolingual=["fra/mine"])
    with pytest.raises(ConfigError, match="has no fra/mine.*; give the whole tree$"):
        refuse_monolingual(replace(none, tasks=["mono"]), tmp_path / "mine")
    with pytest.raises(ConfigError, match=r", or run the rest: --set finetune.tasks=\[lid\]$"):
        refuse_monolingual(replace(none, tasks=["mono", "lid"]), tmp_path / "mine")
    (tmp_path / "mine/train/utt2corpus").write_text("a one\nb two\n")
    refuse_monolingual(replace(config, monolingual=["deu/two"]), tmp_path / "mine")
    with pytest.raises(ConfigError, match="has no deu/one"):
        refuse_monolingual(replace(config, monolingual=["deu/one"]), tmp_path / "mine")
    shutil.rmtree(tmp_path / "mine/dev")
    with pytest.raises(DataError, match="dev is missing; kind kaldi needs the directories"):
        refuse_monolingual(config, tmp_path / "mine")


def test_gpus_are_counted_here_and_not_for_a_cluster():
    refuse_missing_gpus(0, "local")
    refuse_missing_gpus(4096, "slurm")
    with pytest.raises(
        ConfigError, match=r"--ngpu 4096: GPUs that torch finds here: \d+; ask for "
    ):
        refuse_missing_gpus(4096, "local")


def test_the_check_before_every_run_loads_no_torch():
    code = "import sys, espnet2.bin.preflight; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


CONF = Path(__file__).parents[2] / "conf"


def refusal(capsys, *options, conf=CONF / "mini.yaml"):
    status = exit_status(lambda: preflight.main(["--conf", str(conf), *options]))
    said = capsys.readouterr().err
    assert (status, said.count("\n")) == (1, 1)
    return said.removesuffix("\n")


@pytest.mark.parametrize(
    ("setting", "guess"),
    [
        (
            "format.trim_edge=true",
            "format: trim_edge is not a known key; did you mean",
        ),
        ("combine.valid_ration=0.1", "combine: valid_ration is not a known key; did you mean"),
        ("tokens.num_cluster=5", "tokens: num_cluster is not a known key; did you mean"),
        ("plan.pack=4", "plan: pack is not a known key; did you mean 'pack_s'"),
        ("pretrain.max_step=50", "section pretrain: max_step is not a known key; did you mean"),
        ("pretrain.encoder_conf.num_block=5", "encoder_conf: num_block is not a known key; did "),
        ("pretrain.loss_conf=5", "section pretrain: loss_conf must be a mapping, got 5"),
        ("export.averag=best", "export: averag is not a known key; did you mean 'average'"),
        ("report.titel=x", "report: titel is not a known key; did you mean 'title'"),
        ("seed=-1", "seed must be a whole number, got -1"),
    ],
)
def test_a_misspelt_setting_of_any_stage_is_found_before_the_first(setting, guess, capsys):
    assert guess in refusal(capsys, "--stages", "1", "13", "--set", setting)


def test_only_sections_that_the_stages_read_are_looked_at():
    conf = ["--conf", str(CONF / "mini.yaml"), "--set", "combine.valid_ration=0.1"]
    assert preflight.main([*conf, "--stages", "1", "2"]) == 0
    assert preflight.main([*conf, "--stages", "4", "99"]) == 0


@pytest.mark.parametrize(
    ("name", "first"), [(path.name, 10 if "superb" in path.name or "own" in path.name else 1)
                        for path in sorted(CONF.glob("*.yaml"))],
)  # fmt: skip
def test_the_recipes_own_settings_are_taken(name, first):
    assert preflight.main(["--conf", str(CONF / name), "--stages", str(first), "99"]) == 0
