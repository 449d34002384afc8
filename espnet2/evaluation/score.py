"""Score one cell: decode dev and tests, compare with the references, write what was found.

cell/hyp/{dev,test,...}.tsv   utt_id, reference, hypothesis
cell/score.json               every metric of each split, layer weights of the probe
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from espnet2.asr.vocabulary import target_text
from espnet2.evaluation.cells import Cell, parse_cell
from espnet2.evaluation.decode import CellDecoder
from espnet2.evaluation.hypotheses import Hypothesis, pair_up, write_hypotheses
from espnet2.evaluation.metrics import score_utterance, split_metrics
from espnet2.evaluation.references import References, read_references
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
    """Decode and score one cell; returns the figures its log line shows.

    corrupted: names of further test splits; their metrics stand in ``corrupted`` of score.json.

    Raises:
        DataError: references and hypotheses do not name the same utterances.
        CheckpointError: the probe cannot be loaded.
    """
    cell = parse_cell(Path(folder))
    decoder = CellDecoder.open(cell, data, config.batch_s, device)
    scores = {
        split: score_split(cell, decoder, data, split, config.seed)
        for split in (*SPLITS, *corrupted)
    }
    result = {
        **cell_facts(cell), "layer_weights": decoder.layer_weights(),
        **{split: scores[split] for split in SPLITS},
        "corrupted": {split: scores[split] for split in corrupted},
    }  # fmt: skip
    write_json(cell.folder / "score.json", result)
    shown = {split: headline(scores[split]) for split in ("test", *corrupted)}
    for split, line in shown.items():
        log(f"{cell.name} {split}: {line}")
    return shown


def score_split(
    cell: Cell, decoder: CellDecoder, data: Path, split: str, seed: int
) -> dict[str, Any]:
    """Decode one split, write its hypotheses, and return its metrics."""
    references = read_references(data, cell.track, split)
    targets = {
        utt: target_text(cell.task, references.languages[utt], transcript)
        for utt, transcript in references.of_corpora(decoder.source.corpora).items()
    }
    rows = pair_up(targets, decoder.decode(split), f"{cell.name} {split}")
    write_hypotheses(cell.folder / "hyp" / f"{split}.tsv", rows)
    return score_rows(rows, references, cell.task, seed)


def score_rows(
    rows: list[Hypothesis], references: References, task: str, seed: int
) -> dict[str, Any]:
    """The metrics of one split's hypotheses."""
    utterances = [
        score_utterance(
            row.reference,
            row.hypothesis,
            utt_id=row.utt_id,
            language=references.languages[row.utt_id],
            corpus=references.corpora[row.utt_id],
            is_few_shot=references.languages[row.utt_id] in references.few_shot_languages,
            is_unseen_voice=references.corpora[row.utt_id] in references.unseen_voice_corpora,
        )
        for row in rows
    ]
    return split_metrics(utterances, task, seed)


def cell_facts(cell: Cell) -> dict[str, Any]:
    """The cell's identity as plain data, without its folder."""
    facts = asdict(cell)
    facts.pop("folder")
    return facts


def headline(metrics: dict[str, Any]) -> str:
    """The main figures in one line."""
    names = ("cer_normal", "cer_few_shot", "lid", "lid_in_domain", "lid_unseen_voice")
    shown = [f"{name} {metrics[name]:.1f}" for name in names if metrics.get(name) is not None]
    return f"{metrics['num_utts']} utts, " + ", ".join(shown)
