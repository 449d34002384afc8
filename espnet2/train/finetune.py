"""Train one cell of the ML-SUPERB matrix: a probe on an encoder, which may learn too.

Steps: open features or audio, build the vocabulary from the training targets, drop what CTC cannot
align, train (resuming from the cell's own checkpoints), average the checkpoints best on dev, write
``model.pth``. That file appears last and whole: a cell that has it is trained.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from espnet2.asr.audio_batches import TunedBatches
from espnet2.asr.cell_data import CellData, Prepare
from espnet2.asr.data import Collator, Example, FixedBatches, TrainBatches, trainable
from espnet2.asr.encoders import build_network
from espnet2.asr.network import Network
from espnet2.asr.specaug import num_uniforms
from espnet2.asr.tuned_model import TunedModel, split_state
from espnet2.asr.vocabulary import Vocabulary
from espnet2.data.phones import TEXT_PHONES
from espnet2.data.tsv import Dropped, write_dropped
from espnet2.train.average import average
from espnet2.train.cell_model import build_probe
from espnet2.train.cells import CellConfig, loop_config
from espnet2.train.checkpoint import save_tensors, saved_steps, step_path
from espnet2.train.distributed import joined
from espnet2.train.loop import train
from espnet2.train.metrics import read_metrics
from espnet2.utils.config import load_yaml, to_dict
from espnet2.utils.errors import DataError, TrainingError
from espnet2.utils.files import sha256_file
from espnet2.utils.logs import log

TABLES = ("text", "utt2lang", "utt2corpus")  # of a split: they decide targets and membership


def run_cell(
    out: Path, data: Path, features: Path, export: Path | None, cell: CellConfig, ngpu: int = 0
) -> dict[str, float]:
    """Train the cell into the folder ``out``; a killed run goes on at its last checkpoint.

    Settings or data that differ from those the folder was begun with start it over.

    Raises:
        DataError: nothing can be trained on.
        TrainingError: the cell diverged.
    """
    source = CellData(
        data=data, features=features, task=cell.task, track=cell.track, corpora=cell.corpora,
        encoder=cell.encoder, export=export, feature_config=cell.features, tune=cell.tune,
        device="cuda" if ngpu else "cpu",
    )  # fmt: skip
    audio = network_of(source, cell)
    collators, vocabulary = prepare(out, source, cell, None if audio is None else audio.prepare)
    settings = cell_settings(source, cell, collators["train"])
    start_over_if_changed(out, settings)
    vocabulary.save(out / "vocabulary.txt")
    valid = FixedBatches(collators["dev"])
    config = loop_config(cell, len(valid))
    model = build_probe(cell.probe, settings["model"], cell.seed)
    kind = TrainBatches
    if audio is not None:
        model = TunedModel(audio, model, cell.tune, cell.features, cell.seed)
    if cell.tune.encoder != "frozen":
        # Copies of an encoder are large: only the best are kept.
        config = replace(
            config, keep_nbest_models=cell.average_best,
            intermediate_interval_steps=config.max_steps,
        )  # fmt: skip
        kind = TunedBatches if cell.tune.use_mask else TrainBatches
    uniforms = num_uniforms(cell.probe.specaug)
    batches = kind(collators["train"], uniforms, cell.seed, config.accum_grad)
    with joined(ngpu) as world:
        summary = train(
            model, batches, config, out, world, seed=cell.seed, settings=settings, valid=valid
        )
    if not summary["is_complete"]:
        raise DataError(f"{out} was stopped at step {summary['step']}; the same command goes on")
    best = average_best(out, cell.average_best)
    return {"dev_loss": best, "epochs": config.max_steps * config.accum_grad / batches.per_epoch}


def network_of(source: CellData, cell: CellConfig) -> Network | None:
    """The encoder, where it runs in every step; None where the probe reads stored features."""
    if not source.is_live("train", "dev"):
        return None
    return build_network(cell.encoder, source.export)


def prepare(
    out: Path, source: CellData, cell: CellConfig, hear: Prepare | None = None
) -> tuple[dict[str, Collator], Vocabulary]:
    """Training and development utterances that CTC can align; writes dropped.tsv.

    ``hear``: what the encoder takes of a wave, where it runs in every step.
    """
    collators, rows, vocabulary = {}, [], None
    for split in ("train", "dev"):
        features, examples = source.open(split, hear)
        if vocabulary is None:
            vocabulary = build_vocabulary(source, cell, examples)
        kept, listed = trainable(examples, vocabulary)
        rows += [
            Dropped(utt_id=utt_id, reason=reason, detail=f"{split}: {detail}")
            for utt_id, reason, detail in listed
        ]
        hours = sum(example.frames for example in kept) / 50 / 3600
        log(
            f"{cell.name} {split}: in: {len(examples)} utts -> out: {len(kept)} utts / "
            f"{hours:.2f} h; dropped: {len(examples) - len(kept)}"
        )
        if not kept:
            write_dropped(out / "dropped.tsv", rows)
            raise DataError(
                f"{source.data_dir(split)}: no utterance is left, see {out}/dropped.tsv"
            )
        collators[split] = source.collator(kept, features, vocabulary, cell.batches)
        collators[split].names_languages = cell.probe.lid_weight > 0
    write_dropped(out / "dropped.tsv", rows)
    return collators, vocabulary


def build_vocabulary(source: CellData, cell: CellConfig, examples: list[Example]) -> Vocabulary:
    """The tokens of the training utterances, and their languages where the probe learns them."""
    kind = "phone" if source.units == "phones" else cell.units
    languages = {example.language for example in examples} if cell.probe.lid_weight else ()
    targets = [example.target for example in examples]
    return Vocabulary.from_targets(targets, kind, cell.bpe_size, languages)


def cell_settings(source: CellData, cell: CellConfig, train_set: Collator) -> dict[str, Any]:
    """Everything that decides the cell's weights, as plain data: its config.yaml."""
    features, vocabulary = train_set.features, train_set.vocabulary
    tables = (*TABLES, *([TEXT_PHONES] if source.units == "phones" else []))
    inputs = {
        f"{split}/{name}": sha256_file(path)
        for split in ("train", "dev")
        for name, path in (
            *((name, source.data_dir(split) / name) for name in tables),
            ("features", source.features / f"{source.track}_{split}" / "features.json"),
        )
    }
    return {
        "cell": to_dict(cell),
        "units": source.units,
        "data": {"root": str(source.data), "features": str(source.features),
                 "export": str(source.export) if source.export else None},
        "model": {"num_layers": features.num_layers, "input_size": features.dim,
                  "num_tokens": len(vocabulary), "layer_std": source.layer_std(features)},
        "inputs": inputs,
    }  # fmt: skip


def start_over_if_changed(out: Path, settings: dict[str, Any]) -> None:
    """Empty a folder that was begun with other settings: a cell costs little, a mix costs trust."""
    saved = out / "config.yaml"
    if not saved.is_file():
        return
    old = load_yaml(saved)
    if all(old.get(key) == value for key, value in settings.items()):
        return
    log(f"{out} was made with other settings or data; starting over")
    kept = (out / "dropped.tsv", saved)
    for path in out.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path not in kept and not path.name.startswith("."):
            path.unlink()
    saved.unlink()  # last: until then the next start begins over again


def average_best(out: Path, count: int) -> float:
    """Average the ``count`` checkpoints of lowest dev loss into model.pth; returns the lowest.

    The other copies of the model are removed.
    """
    folders = (out / "intermediate", out / "best")
    copies = {step: step_path(folder, step) for folder in folders for step in saved_steps(folder)}
    losses = {
        row["step"]: row["loss"]
        for row in read_metrics(out / "metrics.jsonl")
        if row["split"] == "valid" and row["step"] in copies and "loss" in row  # finite
    }
    best = sorted(losses, key=lambda step: (losses[step], -step))[:count]
    if not best:
        raise TrainingError(
            f"{out}: no validation had a finite loss: the cell diverged; lower its learning rate"
        )
    paths = [copies[step] for step in sorted(best)]
    save_tensors(out / "model.pth", {**split_state(average(paths)), "steps": sorted(best)})
    for path in (out / "intermediate").glob("step_*"):
        if path.with_suffix(".pth") not in paths:
            path.unlink()
    log(f"{out}: averaged steps {sorted(best)}, lowest dev loss {losses[best[0]]:.3f}")
    return losses[best[0]]
