"""The model card of a finished cell: what its files know."""

from pathlib import Path
from typing import Any

import yaml

from espnet2.asr.vocabulary import LANGUAGE, Vocabulary
from espnet2.hf.for_ctc import XeusForCTC
from espnet2.train.export.card import (
    CITATION,
    NOT_STATED,
    PAPER,
    TAGS,
    bullets,
    counted,
    table,
    versions,
)
from espnet2.train.export.facts import json_in
from espnet2.train.export.hub_languages import hub_codes

USE = """import espnet2.hf  # registers XEUS with transformers
from transformers import pipeline

recognise = pipeline("automatic-speech-recognition", model="{name}")  # the folder of this card
print(recognise(speech)["text"])  # speech: (samples,) float32 at 16 kHz in +-1, as numpy has it"""
TASKS = {
    "mono": "text of one language",
    "multi": "text, in every language at once",
    "lid": "the language, as `[iso]`",
    "joint": "the language and the text, as `[iso] TEXT`",
}
MEASURES = {
    "cer": "character error rate, %",
    "per": "phone error rate, %",
    "lid": "languages recognised, %",
}


def cell_card(
    name: str, folder: Path, saved: dict[str, Any], model: XeusForCTC, licence: str, command: str
) -> str:
    """README.md of the folder ``name`` that is made of the cell in ``folder``."""
    score = json_in(folder / "score.json")
    matter = {
        # Of espnet the Hub would show code for Speech2Text, which such a folder is not.
        "library_name": "transformers",
        "license": licence,
        "pipeline_tag": "automatic-speech-recognition",
        "tags": TAGS,
    }
    if codes := hub_codes(languages_of(folder, score)):
        matter["language"] = codes
    parts = [
        f"---\n{yaml.safe_dump(matter, allow_unicode=True, sort_keys=True)}---",
        f"# {name}",
        introduction(saved, model),
        "## Use",
        "With the package `espnet2` of the XEUS recipe:",
        f"```python\n{USE.format(name=name)}\n```",
        "## Training",
        bullets(training_rows(folder, saved)),
        "## Results",
        *results(score),
        "## Limits",
        bullets(limits(licence)),
        "## Made by",
        f"```bash\n{command or NOT_STATED}\n```",
        "## Citation",
        f"The encoder is that of [XEUS]({PAPER}):\n\n```bibtex\n{CITATION}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def languages_of(folder: Path, score: dict[str, Any]) -> list[str]:
    """ISO 639-3 codes: the vocabulary's, or of a cell without them those it was scored on."""
    vocabulary = Vocabulary.load(folder / "vocabulary.txt")
    found = [match[1] for token in vocabulary.tokens if (match := LANGUAGE.match(token))]
    return found or sorted(score.get("test", {}).get("cer_by_language", {}))


def introduction(saved: dict[str, Any], model: XeusForCTC) -> str:
    """What it is."""
    task = saved["cell"]["task"]
    return (
        f"A speech recogniser of {model.num_parameters():,} parameters: "
        f"{counted(model.config.num_hidden_layers, 'E-Branchformer block')} as encoder, "
        f"and on a weighted sum of the layers a small transformer with CTC. It writes "
        f"{TASKS[task.partition('-')[0]]}; {counted(model.config.vocab_size - 2, 'token')}. "
        f"It was trained as a cell of ML-SUPERB, by the recipe of [XEUS]({PAPER})."
    )


def training_rows(folder: Path, saved: dict[str, Any]) -> list[str]:
    """How it was trained."""
    cell, provenance = saved["cell"], json_in(folder / "provenance.json")
    rows = [
        f"task: {cell['task']}, track {cell['track']}",
        cell["corpora"] and f"corpora: {', '.join(cell['corpora'])}",
        f"encoder: {cell['encoder_name']} ({cell['encoder']['kind']}), "
        f"fine-tuning: {cell['tune']['encoder']}",
        f"peak learning rate: {cell['learning_rate']:g}, seed {cell['seed']}",
        cell["training"].get("max_steps") and f"steps: {cell['training']['max_steps']:,}",
        provenance and f"hardware: {provenance.get('hardware', NOT_STATED)}",
        provenance.get("time") and f"finished: {provenance['time']}",
        provenance and f"software: {', '.join(versions(provenance))}",
    ]
    return [row for row in rows if row]


def results(score: dict[str, Any]) -> list[str]:
    """Error rates on the development and the test split."""
    rows = [
        (text, *(shown(score.get(split, {}).get(key)) for split in ("dev", "test")))
        for key, text in MEASURES.items()
        if score.get("test", {}).get(key) is not None
    ]
    if not rows:
        return [f"{NOT_STATED.capitalize()}: the cell was not scored."]
    about = f"Greedy decoding. {score['normalisation']}." if score.get("normalisation") else ""
    return [*filter(None, [about]), table(("measure", "dev", "test"), rows)]


def shown(value: float | None) -> str:
    """A rate as text."""
    return NOT_STATED if value is None else f"{value:.1f}"


def limits(licence: str) -> list[str]:
    """What the numbers above do not say."""
    return [
        "It knows the languages and the characters of its training text, and no others.",
        "It is a probe of its encoder, made to compare encoders; it has no language model.",
        "Whoever uses the weights has to respect the terms of the corpora, the encoder's too; "
        f"those of the weights themselves are {NOT_STATED if licence == 'unknown' else licence}.",
    ]
