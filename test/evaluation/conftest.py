"""A run that never happened, with realistic figures: input of the report's tests."""

import itertools
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from espnet2.evaluation.metrics import score_utterance, split_metrics
from espnet2.evaluation.report.config import ReportConfig
from espnet2.evaluation.report.stage import write_report
from espnet2.evaluation.summary import summarise
from espnet2.utils.files import write_json, write_text

LANGUAGES = ("bel", "bul", "cat", "ces", "dan", "ell", "fra", "nld", "ron", "rus", "spa", "tur")
FEW_SHOT = ("dan", "tur")
QUALITY = {  # encoder -> (share of wrong characters, share of right languages, same, unseen voices)
    "xeus_mini": (0.52, 0.985, 0.62),
    "fbank": (0.57, 0.97, 0.41),
    "random": (0.88, 0.72, 0.28),
}


@dataclass(frozen=True)
class FakeRun:
    conf: Path
    exp: Path
    dump: Path
    ssl: Path


@pytest.fixture(scope="session")
def fake_run(tmp_path_factory) -> FakeRun:
    """Everything stage 13 reads."""
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def report(fake_run, tmp_path_factory) -> Path:
    """Folder of the report of ``fake_run``."""
    out = tmp_path_factory.mktemp("report")
    write_report("seed: 1\n", fake_run.exp, fake_run.dump, fake_run.ssl, out, "x", ReportConfig())
    return out


@pytest.fixture(scope="session")
def benchmark_report(benchmark_run, tmp_path_factory) -> Path:
    """Folder of the report of ``benchmark_run``."""
    run, out = benchmark_run, tmp_path_factory.mktemp("benchmark_report")
    config = ReportConfig(is_benchmark=True, hours={"xeus": run.conf.with_name("xeus_hours.txt")})
    write_report("seed: 1\n", run.exp, run.dump, run.ssl, out, "x", config)
    return out


def make_run(root: Path, seeds: tuple[int, ...] = (1,)) -> FakeRun:
    """Write the run below ``root``."""
    run = FakeRun(root / "mini.yaml", root / "exp", root / "dump", root / "exp" / "ssl_mini")
    write_text(run.conf, "seed: 1\nfinetune: {encoders: {fbank: {kind: fbank}}}\nreport: {}\n")
    folders = [
        write_cell(run.exp / "superb", encoder, task, seed)
        for encoder in QUALITY
        for task in ("multi", "lid", "joint")
        for seed in seeds
    ]
    failed = run.exp / "superb" / "xeus_mini" / "joint_1h_lr0.001_seed1"
    summarise(folders, {str(failed): "not trained: nan"}, run.exp / "superb" / "scores.json")
    write_pretraining(run)
    write_data(run)
    return run


def write_cell(root: Path, encoder: str, task: str, seed: int) -> Path:
    """One scored cell."""
    name = f"{task}_10min_lr0.001_seed{seed}"
    folder = root / encoder / name
    score = {
        "encoder": encoder, "task": task, "track": "10min", "lr": "0.001", "seed": seed,
        "layer_weights": [1.0] if encoder == "fbank" else softmax(encoder, task),
        "dev": fake_split(encoder, task, seed, "dev"),
        "test": fake_split(encoder, task, seed, "test"),
    }  # fmt: skip
    write_json(folder / "score.json", score)
    floor = 40 + 60 * QUALITY[encoder][0]
    rows = [
        {"split": split, "step": step, "loss": floor + 150 * math.exp(-step / 90) + shift}
        for step in range(20, 420, 20)
        for split, shift in (("train", 0.0), ("valid", 6.0))
    ]
    write_text(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return folder


BENCHMARK_QUALITY = {"xeus": (0.28, 0.86, 0.86), "fbank": (0.66, 0.3, 0.3)}
MONO = {
    "eng": ("mls", "nchlt", "voxpopuli"), "fra": ("voxforge", "voxpopuli"),
    "deu": ("swc", "voxpopuli"), "rus": ("M-AILABS",), "swa": ("ALFFA",), "swe": ("NST",),
    "jpn": ("commonvoice",), "cmn": ("fleurs",), "xty": ("mexico-el",),
}  # fmt: skip


@pytest.fixture(scope="session")
def benchmark_run(tmp_path_factory) -> FakeRun:
    """Stages 10 to 13 alone: somebody's encoder and FBANK, both tracks, every task, 48 languages.

    Of xeus' cells two failed: the only one of joint in 1h, and one of the 13 monolingual ones.
    """
    root = tmp_path_factory.mktemp("benchmark")
    run = FakeRun(root / "b.yaml", root / "exp", root / "dump", root / "exp" / "ssl")
    superb, folders, failed = run.exp / "superb", [], {}
    tasks = [f"mono-{language}-{c}" for language, corpora in MONO.items() for c in corpora]
    grid = itertools.product(BENCHMARK_QUALITY, (*tasks, "multi", "lid", "joint"), ("10min", "1h"))
    lost = [("xeus", "joint", "1h"), ("xeus", "mono-swe-NST", "10min")]
    for encoder, task, track in grid:
        if (encoder, task, track) in lost:
            name = f"{task}_{track}_lr0.0001_seed1"
            failed[str(superb / encoder / name)] = "loss is not finite at step 40"
        else:
            folders.append(write_benchmark_cell(superb, encoder, task, track))
    summarise(folders, failed, superb / "scores.json")
    commands = ("run.sh --stage 10", "run.sh --stage 10 --ngpu 1", "run.sh --stage 10")
    lines = [f"2026-11-23 0{i}:00:00\t{command}\n" for i, command in enumerate(commands)]
    write_text(run.exp / "commands.tsv", "".join(lines))
    encoders = "{xeus: {kind: export, path: /x}, fbank: {kind: fbank}}"
    write_text(run.conf, f"finetune: {{encoders: {encoders}}}\nreport: {{is_benchmark: true}}\n")
    hours = [f"{language} {(7 * i) ** 2}\n" for i, language in enumerate(benchmark_languages()[2:])]
    write_text(root / "xeus_hours.txt", "# hours of XEUS\n" + "".join(hours))
    return run


def benchmark_languages() -> list[str]:
    """48 languages; dan and tur are few-shot."""
    others = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJK"
    return [*FEW_SHOT, *MONO, *(f"q{letter.lower()}{'xy'[letter.isupper()]}" for letter in others)]


def write_benchmark_cell(root: Path, encoder: str, task: str, track: str) -> Path:
    """One cell with its cost: Mandarin on phones, Japanese on characters."""
    folder = root / encoder / f"{task}_{track}_lr0.0001_seed1"
    kind, _, rest = task.partition("-")
    language = rest.partition("-")[0]
    units = "phones" if language == "cmn" else "characters"
    wrong = BENCHMARK_QUALITY[encoder][0] * (0.85 if track == "1h" else 1.0)
    draw = random.Random(f"{encoder} {task} {track}")
    spoken = [language] if language else benchmark_languages()
    splits = {
        split: split_metrics(
            [
                fake_utterance(draw, name, number, wrong, BENCHMARK_QUALITY[encoder][1], units)
                for name in spoken
                for number in range(4)
            ],
            kind,
            seed=1,
        )
        for split in ("dev", "test")
    }
    weights = [1.0] if encoder == "fbank" else softmax(encoder, task)
    score = {
        "encoder": encoder, "task": task, "track": track, "lr": "0.0001", "seed": 1,
        "units": units, "layer_weights": weights, **splits,
    }  # fmt: skip
    write_json(folder / "score.json", score)
    rows = [
        {"split": split, "step": step, "loss": 200 * wrong * math.exp(-step / 90), "step_s": 0.1}
        for step in range(100, 600, 100)
        for split in ("train", "valid")
    ]
    if language in ("", "eng"):  # the others left none, and so neither curve nor cost
        write_text(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write_json(folder / "provenance.json", {"gpu": "2 x NVIDIA H100", "hardware": "a processor"})
    return folder


def fake_utterance(
    draw: random.Random, language: str, number: int, wrong: float, right: float, units: str
):
    """A scored hypothesis with about the given share of wrong letters and right languages."""
    gap = " " if units == "phones" else ""
    text = "".join(draw.choice("ABCDEFGH") for _ in range(30))
    said = "".join("#" if draw.random() < wrong else one for one in text)
    guess = language if draw.random() < right else draw.choice(benchmark_languages())
    return score_utterance(
        f"[{language}] {gap.join(text)}", f"[{guess}] {gap.join(said)}",
        utt_id=f"{language}_{number}", language=language, units=units, corpus="fleurs",
        is_few_shot=language in FEW_SHOT, is_unseen_voice=False,
    )  # fmt: skip


def softmax(encoder: str, task: str) -> list[float]:
    """Four layer weights."""
    draw = random.Random(f"{encoder} {task}")
    raw = [math.exp(0.5 * i + draw.random()) for i in range(4)]
    return [value / sum(raw) for value in raw]


def fake_split(encoder: str, task: str, seed: int, split: str) -> dict:
    """Metrics of simulated hypotheses."""
    draw = random.Random(f"{encoder} {task} {seed} {split}")
    wrong, right_same, right_unseen = QUALITY[encoder]
    utterances = []
    for language in LANGUAGES:
        hardness = 0.8 + 0.4 * random.Random(language).random()
        for number in range(24):
            is_unseen = number % 3 == 0
            rate = min(0.95, wrong * hardness * (1.25 if language in FEW_SHOT else 1))
            text = "".join(draw.choice("ABCDEFGH ") for _ in range(30)).strip()
            said = "".join("#" if draw.random() < rate else one for one in text)
            is_right = draw.random() < (right_unseen if is_unseen else right_same)
            guess = language if is_right else draw.choice(LANGUAGES)
            utterances.append(
                score_utterance(
                    f"[{language}] {text}",
                    f"[{guess}] {said}",
                    utt_id=f"{language}_{number}",
                    language=language,
                    corpus="espeak" if is_unseen else "stamps",
                    is_few_shot=language in FEW_SHOT,
                    is_unseen_voice=is_unseen,
                )
            )
    return split_metrics(utterances, task, seed)


def write_pretraining(run: FakeRun) -> None:
    """Curves, configuration, export."""
    rows = []
    for step in range(20, 2420, 20):
        accuracy = 0.18 * (1 - math.exp(-step / 900)) + 0.004 * math.sin(step)
        row = {"step": step, "loss": 2.6 + 1.6 * math.exp(-step / 700), "masked_acc": accuracy}
        speeds = {
            "step_s": 0.9,
            "lr": 1e-3 * min(step / 200, 1),
            "grad_norm": 1.2 + 3 * math.exp(-step / 300),
        }
        rows.append({"split": "train", **row, **speeds, "x_real_time": 150 + 6 * math.sin(step)})
        if step % 200 == 0:
            row["unmasked_acc"] = 2.4 * accuracy
            rows.append({"split": "valid", **row, "majority_share": 0.028})
    write_text(run.ssl / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    config = {"loss": "hubert_ce", "loss_conf": {"unmasked_weight": 1.0}, "max_steps": 2400}
    write_text(run.ssl / "config.yaml", yaml.safe_dump(config))
    write_json(run.ssl / "export" / "export.json", {"parameters": 1610000})
    write_json(run.ssl / "provenance.json", {"gpu": "4 x NVIDIA H100", "hardware": "x"})


def write_data(run: FakeRun) -> None:
    """Hours, label quality, stage times."""
    hours = {}
    for name, scale in (("train", 1.0), ("valid", 0.02)):
        table = {
            language: {
                "hours": round(scale * (1.6 / (i + 1) + 0.1), 4),
                "utterances": 900 // (i + 1),
            }
            for i, language in enumerate(LANGUAGES, start=1)
        }
        total = {
            key: round(sum(facts[key] for facts in table.values()), 4)
            for key in ("hours", "utterances")
        }
        hours[name] = {"total": total, "languages": table, "corpora": {"stamps": total}}
    write_json(run.dump / "hours.json", hours)
    write_json(run.dump / "superb" / "corpora.json", {"stamps": {"kind": "real"}})
    write_json(
        run.dump / "train" / "labels" / "mini" / "quality.json",
        {"num_clusters": 64, "majority_share": 0.028, "entropy_bits": 5.61, "dead_clusters": 0},
    )
    names = ("data", "format", "combine", "kmeans", "label", "augment", "plan", "pretrain",
             "export", "superb_data", "finetune", "score")  # fmt: skip
    seconds = (62.1, 34.9, 1.2, 8.8, 9.4, 5.2, 0.8, 252.3, 6.1, 2.2, 117.5, 12.4)
    lines = [f"{i}\t{name}\t{s}" for i, (name, s) in enumerate(zip(names, seconds, strict=True), 1)]
    write_text(run.exp / "stage_times.tsv", "stage\tname\tseconds\n" + "\n".join(lines) + "\n")
