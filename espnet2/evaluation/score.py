"""Score one cell: decode dev and tests, compare with the references, write what was found.

cell/hyp/{dev,test,...}.tsv   utt_id, reference, hypothesis
cell/score.json               every metric of each split, layer weights of the probe
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from espnet2.asr.config import Units
from espnet2.asr.members import is_member
from espnet2.asr.vocabulary import target_text
from espnet2.evaluation.cells import Cell, parse_cell
from espnet2.evaluation.decode import CellDecoder
from espnet2.evaluation.hypotheses import Hypothesis, pair_up, write_hypotheses
from espnet2.evaluation.metrics import (
    ScoredUtterance,
    dialect_metrics,
    score_utterance,
    split_metrics,
)
from espnet2.evaluation.normalisation import NORMALISATION
from espnet2.evaluation.references import DIALECTS, References, read_references, scored_splits
from espnet2.evaluation.score_config import SPLITS, ScoreConfig
from espnet2.utils.files import write_json
from espnet2.utils.logs import log


def score_cell(
    folder: Path,
    data: Path,
    config: ScoreConfig,
    device: str = "cpu",
    corrupted: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Decode and score one cell; returns the figures its log line shows, and the seconds it took.

    corrupted: names of further test splits; their metrics stand in ``corrupted`` of score.json.
    Those of dialects, where the data have them, stand in ``test``.

    Raises:
        DataError: references and hypotheses do not name the same utterances.
        CheckpointError: the probe cannot be loaded.
    """
    start = time.monotonic()
    cell = parse_cell(Path(folder))
    decoder = CellDecoder.open(cell, data, config.batch_s, device)
    scores = {
        split: score_split(cell, decoder, data, split, config.seed)
        for split in scored_splits(data, cell, corrupted)
    }
    if DIALECTS in scores:
        add_dialects(scores["test"], scores.pop(DIALECTS))
    result = {
        **cell_facts(cell), "units": decoder.units, "normalisation": NORMALISATION,
        "layer_weights": decoder.layer_weights(), **{split: scores[split] for split in SPLITS},
        "corrupted": {split: scores[split] for split in corrupted},
    }  # fmt: skip
    write_json(cell.folder / "score.json", result)
    shown = {split: headline(scores[split]) for split in ("test", *corrupted)}
    for split, line in shown.items():
        log(f"{cell.name} {split}: {line}")
    return {**shown, "seconds": round(time.monotonic() - start, 1)}


def score_split(
    cell: Cell, decoder: CellDecoder, data: Path, split: str, seed: int
) -> dict[str, Any]:
    """Decode one split, write its hypotheses, and return its metrics."""
    references = read_references(data, cell.track, split, decoder.units)
    targets = targets_of(cell, references, split, decoder.source.corpora)
    rows = pair_up(targets, decoder.decode(split), f"{cell.name} {split}")
    write_hypotheses(cell.folder / "hyp" / f"{split}.tsv", rows)
    utterances = scored_utterances(rows, references, decoder.units)
    metrics = dialect_metrics if split == DIALECTS else split_metrics
    return metrics(utterances, cell.kind, seed)


def targets_of(
    cell: Cell, references: References, split: str, corpora: list[str]
) -> dict[str, str]:
    """What should have been said of each utterance that belongs to the cell, by id."""
    languages, corpus_of = references.languages, references.corpora
    return {
        utt: target_text(cell.task, languages[utt], transcript)
        for utt, transcript in references.transcripts.items()
        if is_member(cell.task, split, languages[utt], corpus_of[utt], corpora)
    }


def scored_utterances(
    rows: list[Hypothesis], references: References, units: Units
) -> list[ScoredUtterance]:
    """One split's hypotheses with their errors and what these count towards."""
    return [
        score_utterance(
            row.reference,
            row.hypothesis,
            units=units,
            utt_id=row.utt_id,
            language=references.languages[row.utt_id],
            corpus=references.corpora[row.utt_id],
            is_few_shot=references.languages[row.utt_id] in references.few_shot_languages,
            is_unseen_voice=references.corpora[row.utt_id] in references.unseen_voice_corpora,
        )
        for row in rows
    ]


def add_dialects(test: dict[str, Any], dialects: dict[str, Any]) -> None:
    """The figures of the dialects beside the test's."""
    test["intervals"] |= dialects["intervals"]
    test |= {name: dialects[name] for name in dialects["intervals"]}
    test["num_utts_dialect"] = dialects["num_utts"]


def cell_facts(cell: Cell) -> dict[str, Any]:
    """The cell's identity as plain data, without its folder."""
    facts = asdict(cell)
    facts.pop("folder")
    return facts


def headline(metrics: dict[str, Any]) -> str:
    """The main figures in one line; the rate of phones is called CER, too."""
    names = ("cer_normal", "cer_few_shot", "lid", "lid_in_domain", "lid_unseen_voice")
    shown = [f"{name} {metrics[name]:.1f}" for name in names if metrics.get(name) is not None]
    return f"{metrics['num_utts']} utts, " + ", ".join(shown)
