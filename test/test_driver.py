"""The recipe driver's command line: real shells, no stage is run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "egs2/mini/ssl1/run.sh"
SUPERB = ROOT / "egs2/ml_superb/asr1/run.sh"
STAGES = [
    "data", "format", "combine", "kmeans", "label", "augment", "plan", "pretrain", "export",
    "superb_data", "finetune", "score", "report",
]  # fmt: skip


def drive(*options, run=RUN, cwd=ROOT, **environment):
    return subprocess.run(
        [str(run), *options],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )


def test_help_is_the_header_of_the_driver():
    result = drive("--help", run=ROOT / "egs2/TEMPLATE/ssl1/ssl.sh")
    assert result.returncode == 0
    assert result.stdout.startswith("XEUS: from corpora to a row in the ML-SUPERB table")
    for number, name in enumerate(STAGES, start=1):
        assert f"{number:4d} {name} " in result.stdout
    assert "  --stage N           first stage to run (default 1)" in result.stdout


def test_the_help_of_a_recipe_has_its_own_defaults():
    help_ = drive("--help", run=SUPERB).stdout
    assert help_.startswith("XEUS: from corpora to a row in the ML-SUPERB table")
    assert "  --stage N           first stage to run (default 10)" in help_
    assert "  --conf FILE         recipe YAML (default conf/ml_superb.yaml)" in help_
    assert "(default egs2/ml_superb/asr1)" in help_
    mini = drive("--help").stdout
    assert "  --stage N           first stage to run (default 1)" in mini
    assert "  --data DIR          the ML-SUPERB tree (default downloads/ml_superb_mini)" in mini


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stagee", "2"], "unknown option --stagee; did you mean --stage?"),
        (["--nj=two"], "--nj takes a whole number, got 'two'"),
        (["--nj", "0"], "--nj must be at least 1"),
        (["--seeds", "0"], "--seeds takes a whole number from 1 on, got '0'"),
        (["--seeds", "three"], "--seeds takes a whole number from 1 on, got 'three'"),
        (["--stage", "99"], "--stage 99: stages are 1 to 13"),
        (["--stage", "0"], "--stage 0: stages are 1 to 13"),
        (["--stop_stage", "0"], "--stop_stage 0 is before --stage 1"),
        (["--stage=5", "--stop_stage=4"], "--stop_stage 4 is before --stage 5"),
        (
            ["--cluster", "pbs"],
            "--cluster must be local, a name in conf/cluster or a YAML file, got 'pbs'",
        ),
        (["--conf", "none.yaml"], "none.yaml: no such file"),
        (["--ngpu"], "--ngpu needs a value"),
        (["stage", "3"], "unexpected argument 'stage'"),
    ],
)
def test_what_it_does_not_know_stops_with_status_2(options, message):
    result = drive(*options)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_dry_run_prints_every_command_and_does_nothing(tmp_path):
    folders = ["--datadir", "--dumpdir", "--expdir", "--downloads"]
    options = [word for name in folders for word in (name, str(tmp_path / "my data" / name[2:]))]
    result = drive("--dry_run", "--nj=3", *options)
    assert result.returncode == 0, result.stderr
    commands = [shlex.split(line) for line in result.stdout.splitlines()]
    modules = [words[2] for words in commands if words[1] == "-m"]
    assert len(modules) == 15  # the label step runs for two sets, stage 10 has two steps
    assert str(tmp_path / "my data" / "dumpdir") in commands[3]
    score = commands[modules.index("espnet2.bin.score") - len(modules)]
    assert "--seeds" not in score  # those of the YAML
    assert all(value(words, "--nj") == "3" for words in commands if words[1] == "-m")
    assert list(tmp_path.iterdir()) == []


def test_seeds_are_those_of_the_yaml_unless_given():
    for given, said in (([], []), (["--seeds", "3"], ["3"])):
        result = drive("--dry_run", "--stage", "11", "--stop_stage", "12", *given)
        assert re.findall(r"--seeds (\S+)", result.stdout) == said * 2


def test_stage_and_stop_stage_choose_the_part():
    result = drive("--dry_run", "--stage", "3", "--stop_stage", "4")
    modules = re.findall(r" -m (\S+)", result.stdout)
    assert modules == ["espnet2.bin.combine_data", "espnet2.bin.kmeans"]


def test_the_benchmark_alone_is_stages_10_to_13_of_a_tree_and_an_export():
    result = drive(
        "--dry_run", "--data", "/my data/superb", "--export=/my exports/one",
        "--encoders", "mine fbank", run=SUPERB, cwd="/",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    commands = [shlex.split(line) for line in result.stdout.splitlines()]
    steps = {words[2].split(".")[2]: words for words in commands if words[1] == "-m"}
    assert list(steps) == ["superb_data", "overlap", "finetune", "score", "report"]
    assert value(steps["superb_data"], "--root") == "/my data/superb"
    assert value(steps["finetune"], "--export") == "/my exports/one"
    for name in ("finetune", "score", "report"):
        assert value(steps[name], "--conf") == str(ROOT / "conf/ml_superb.yaml")
        assert value(steps[name], "--set") == "finetune.only_encoders=[mine,fbank]"


def log_folders(*options):
    lines = drive("--dry_run", "--stage=11", *options).stdout.splitlines()
    commands = [shlex.split(line) for line in lines if " -m espnet2.bin." in line]
    return [value(words, "--log_dir") for words in commands]


def test_runs_of_a_recipe_do_not_share_their_logs(tmp_path):
    (tmp_path / "other.yaml").touch()
    assert log_folders() == [f"exp/log/mini/{step}" for step in ("finetune", "score", "report")]
    runs = [[], ["--ssl_tag=two"], ["--expdir=exp2"], [f"--conf={tmp_path}/other.yaml"]]
    assert len({log_folders(*options)[0] for options in runs}) == len(runs)


def value(words, option):
    return words[words.index(option) + 1]


def test_after_cells_that_failed_the_stages_go_on_and_the_end_is_not_well(tmp_path):
    python = tmp_path / "python3"
    python.write_text(
        '#!/bin/sh\ncase "$*" in *bin.finetune*) exit 3 ;; *bin.score*) exit ${SCORE} ;; esac\n'
    )
    python.chmod(0o755)
    folders = ["--stage=11", f"--expdir={tmp_path}"]
    result = drive(*folders, run=SUPERB, XEUS_PYTHON=str(python), SCORE="0")
    assert result.returncode == 1
    assert "stage 13 (report)" in result.stderr
    assert result.stderr.splitlines()[-1] == (
        "run.sh: error: cells failed; they are named above and marked in "
        f"{tmp_path}/superb/scores.json"
    )
    result = drive(*folders, run=SUPERB, XEUS_PYTHON=str(python), SCORE="1")
    assert result.returncode == 1
    assert "stage 13 (report)" not in result.stderr
    assert "stage 12 (score) failed; fix it, then resume with --stage 12" in result.stderr


@pytest.mark.parametrize("question", ["--price", "--find_batch"])
def test_a_question_to_stage_8_ends_there(question):
    result = drive("--dry_run", "--stage", "7", question)
    commands = [line for line in result.stdout.splitlines() if " -m espnet2.bin." in line]
    assert [line.split(" -m espnet2.bin.")[1].split()[0] for line in commands] == [
        "plan", "pretrain",
    ]  # fmt: skip
    assert commands[1].split()[-1] == question
    for elsewhere in (("--stage", "9"), ("--stop_stage", "7")):
        result = drive("--dry_run", *elsewhere, question)
        assert result.returncode == 2
        assert "--find_batch and --price belong to stage 8" in result.stderr
        assert result.stdout == ""


def test_it_works_from_any_directory_and_under_a_path_with_spaces(tmp_path):
    copy = tmp_path / "my recipes"
    for folder in ("egs2/TEMPLATE", "egs2/mini", "utils", "conf"):
        ignore = shutil.ignore_patterns("data", "dump", "exp", "downloads", "log")
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignore)
    result = drive("--dry_run", "--stop_stage", "2", run=copy / "egs2/mini/ssl1/run.sh", cwd="/")
    assert result.returncode == 0, result.stderr
    words = shlex.split(result.stdout.splitlines()[-1])
    assert words[words.index("--conf") + 1] == str(copy / "conf/mini.yaml")


def test_what_was_called_is_noted_once_a_call_and_never_in_a_dry_run(tmp_path):
    recipe = tmp_path / "recipe.sh"
    recipe.write_text(
        f"source '{ROOT}/utils/recipe.sh'\noptions+=(name)\nstages=(one)\n"
        'stage_one() { true; }\ntimes=exp/times.tsv\nparse_options "$@"\nrun_stages\n'
    )
    for options in (["--dry_run"], ["--name", f"{ROOT}/a b"], ["--stage=1"]):
        subprocess.run(["bash", str(recipe), *options], cwd=tmp_path, check=True)
    lines = (tmp_path / "exp" / "commands.tsv").read_text().splitlines()
    typed = [line.split("\t")[1] for line in lines]
    assert typed == [f"{recipe} --name a\\ b", f"{recipe} --stage=1"]  # paths from the repository


def test_a_failing_stage_says_how_to_resume(tmp_path):
    python = tmp_path / "python3"
    well = "*check_install* | *preflight*"
    python.write_text(f'#!/bin/sh\ncase "$*" in {well}) ;; *) exit 1 ;; esac\n')
    python.chmod(0o755)
    result = drive("--stage", "3", f"--expdir={tmp_path}", XEUS_PYTHON=str(python))
    assert result.returncode == 1
    assert "stage 3 (combine) failed; fix it, then resume with --stage 3" in result.stderr
    assert "stage 4" not in result.stderr


def refusal(tmp_path, *options):
    """What a run says that ends before its first stage and leaves nothing behind."""
    folders = [f"--{name}={tmp_path / name}" for name in ("expdir", "dumpdir", "datadir")]
    result = drive(*folders, *options, run=SUPERB, XEUS_PYTHON=sys.executable)
    assert result.returncode == 1
    assert "stage 1" not in result.stderr
    assert not list(tmp_path.glob("*dir"))
    [line] = [line for line in result.stderr.splitlines() if "error: " in line]
    return line


def test_a_misspelt_setting_of_a_later_stage_is_refused_before_the_first(tmp_path):
    line = refusal(tmp_path, "--set", "report.titel=mine")
    assert line.endswith("ml_superb.yaml: report: titel is not a known key; did you mean 'title'?")


def test_a_recipe_that_is_not_there_is_named():
    result = drive("--conf", "conf/mini.yaml", "--recipe_dir", "egs2/nowhere")
    assert result.returncode == 2
    assert result.stderr == "run.sh: --recipe_dir egs2/nowhere: no such folder; see --help\n"


def test_what_stage_11_would_refuse_is_refused_before_stage_10(tmp_path):
    tree, export = tmp_path / "tree", tmp_path / "export"
    for corpus in ("mls", "nchlt"):
        (tree / corpus / "eng/wav").mkdir(parents=True)
    export.mkdir()
    for name in ("config.yaml", "xeus_checkpoint_new.pth"):
        (export / name).touch()
    options = [f"--data={tree}", f"--export={export}", "--set", "finetune.monolingual=[eng/mls]"]
    mono = ["--set", "finetune.monolingual=[eng/mls, eng/nchl]"]
    assert "has no eng/nchl; did you mean 'eng/nchlt'?; give" in refusal(tmp_path, *options, *mono)
    line = refusal(tmp_path, f"--data={tree}", "--export=my export")
    assert line.endswith(
        "encoder pretrained: my export holds no config.yaml of an exported model; give --export "
        "FOLDER, or choose others with --encoders"
    )
    line = refusal(tmp_path, f"--data={tree}")  # no stage before it makes the export
    assert "expdir/ssl_ml_superb/export holds no config.yaml of an exported model" in line
    encoder = "finetune.encoders.pretrained={kind: %s, path: my model}"
    line = refusal(tmp_path, *options, "--set", encoder % "hf")
    assert "encoder pretrained: Hugging Face model my model: no such folder" in line
    assert line.endswith("hf download OWNER/NAME --local-dir 'my model'")
    line = refusal(tmp_path, *options, "--set", encoder % "checkpoint")
    assert line.endswith("encoder of kind checkpoint: my model: no such file")
    line = refusal(tmp_path, f"--data={tmp_path / 'nowhere'}", *options[1:])
    assert line.endswith("nowhere is not a folder; give the root of an ML-SUPERB tree")


def test_gpus_that_are_not_there_are_refused_on_this_machine_only(tmp_path):
    line = refusal(tmp_path, "--ngpu=4096", "--stage=12")
    assert "--ngpu 4096: GPUs that torch finds here: " in line
    line = refusal(tmp_path, "--ngpu=4096", "--cluster=slurm", "--export=my export")
    assert "my export holds no config.yaml" in line


def test_an_interpreter_that_is_too_old_or_broken_is_refused_in_one_line(tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho 3.9\n")
    old.chmod(0o755)
    result = drive(run=ROOT / "tools/install.sh", PYTHON=str(old))
    assert result.returncode == 1
    assert result.stderr.strip() == (
        f"install.sh: error: {old} is Python 3.9; 3.11 to 3.13 is needed:"
        " set PYTHON=/path/to/python3.12"
    )
    old.write_text("#!/bin/sh\nexit 1\n")
    result = drive(run=ROOT / "tools/install.sh", PYTHON=str(old))
    assert result.stderr.strip() == (
        f"install.sh: error: {old} does not run; set PYTHON=/path/to/python3.12 (3.11 to 3.13)"
    )
