"""A run that never happened, with realistic figures: input of the report's tests."""

import json
import math
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from espnet2.evaluation.metrics import score_utterance, split_metrics
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
    summarise(folders, [failed], run.exp / "superb" / "scores.json")
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
        speeds = {"lr": 1e-3 * min(step / 200, 1), "grad_norm": 1.2 + 3 * math.exp(-step / 300)}
        rows.append({"split": "train", **row, **speeds, "x_real_time": 150 + 6 * math.sin(step)})
        if step % 200 == 0:
            row["unmasked_acc"] = 2.4 * accuracy
            rows.append({"split": "valid", **row, "majority_share": 0.028})
    write_text(run.ssl / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    config = {"loss": "hubert_ce", "loss_conf": {"unmasked_weight": 1.0}, "max_steps": 2400}
    write_text(run.ssl / "config.yaml", yaml.safe_dump(config))
    write_json(run.ssl / "export" / "export.json", {"parameters": 1610000})


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
