"""Every checkpoint measured once: what is known is kept, what is missing is added.

A checkpoint's figures lie in ``OUT/checkpoints/step_N.json``, its predictions as a label set in
``OUT/predictions/step_N``. They stand for one content of the checkpoint and one sample; CKA with
the reference (the final model) and with the checkpoint before stand for those, too. So a killed
run goes on, and one after more training adds what is new. One model is in memory at a time, and
the hidden states of three (reference, before, now) are on the disk.
"""

import dataclasses
import time
from collections.abc import Set
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espnet2.data.labels import LabelStore, labels_file, write_info, write_labels
from espnet2.tokens.quality.agreement import joint_table, matched, nmi
from espnet2.tokens.quality.purity import measures
from espnet2.train.checkpoint import load_model_state
from espnet2.train.dynamics.checkpoints import (
    Checkpoint,
    Run,
    content_or_none,
    empty_model,
    weight_changes,
    weight_norms,
)
from espnet2.train.dynamics.cka import all_layers, own_norms, same_layers
from espnet2.train.dynamics.forward import States, forward
from espnet2.train.dynamics.sample import SHARD, Sample
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json, write_json
from espnet2.utils.logs import log

Result = dict[str, Any]  # of a checkpoint, as its JSON holds it


class Study:
    """The checkpoints of a run on one sample."""

    def __init__(self, run: Run, sample: Sample, out: Path, device: torch.device) -> None:
        self.run, self.sample, self.out, self.device = run, sample, out, device
        self.model = empty_model(run).to(device)
        encoder = self.model.encoder
        self.opened: dict[str, dict[str, Any]] = {}  # contents by fingerprint
        self.shape = (len(encoder.encoders), sample.frames, encoder.output_size())

    def results(self) -> list[Result]:
        """The figures of every checkpoint that can be read, ascending."""
        results: list[Result] = []
        before: Checkpoint | None = None
        for number, checkpoint in enumerate(self.run.checkpoints, 1):
            start, result = time.monotonic(), self.kept(checkpoint)
            if before is None:
                result.pop("previous", None)
            if not self.is_complete(result, before):
                if not self.can_read(checkpoint):
                    continue
                self.complete(result, checkpoint, before)
                seconds = time.monotonic() - start
                log(f"{number} of {len(self.run.checkpoints)}: {line(result)}, {seconds:.1f} s")
            results.append(result)
            before = checkpoint
        return results

    def can_read(self, checkpoint: Checkpoint) -> bool:
        """Whether it is whole; a damaged one is named and passed over."""
        if checkpoint.fingerprint not in self.opened:
            content = content_or_none(checkpoint, self.run.skipped)
            if content is None:
                return False
            self.opened[checkpoint.fingerprint] = content
        return True

    def weights(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """Its model's tensors, mapped from the disk; checked once, for it is slow."""
        if checkpoint.fingerprint not in self.opened:
            self.opened[checkpoint.fingerprint] = checkpoint.read()
        return self.opened[checkpoint.fingerprint]["model"]

    def kept(self, checkpoint: Checkpoint) -> Result:
        """What an earlier call measured of this content on this sample."""
        new = {
            "step": checkpoint.step, "fingerprint": checkpoint.fingerprint,
            "sample": self.sample.fingerprint,
        }  # fmt: skip
        try:
            result = read_json(self.path(checkpoint))
        except (FileNotFoundError, DataError):
            return new
        is_same = all(result.get(name) == value for name, value in new.items())
        has_labels = labels_file(self.predictions(checkpoint), SHARD).is_file()
        return result if is_same and has_labels else new

    def is_complete(self, result: Result, before: Checkpoint | None) -> bool:
        """Whether nothing is missing, and what it was compared with is still the same."""
        return (
            "masked_acc" in result
            and compared_with(result, "reference") == self.run.reference.fingerprint
            and (before is None or compared_with(result, "previous") == before.fingerprint)
        )

    def complete(self, result: Result, checkpoint: Checkpoint, before: Checkpoint | None) -> None:
        """Measure what is missing and write it."""
        self.states_of(checkpoint, result)
        reference = self.run.reference
        if compared_with(result, "reference") != reference.fingerprint:
            result["reference"] = self.comparison(result, checkpoint, reference)
        if before is not None and compared_with(result, "previous") != before.fingerprint:
            result["previous"] = self.comparison(result, checkpoint, before)
            result["previous"]["weight_change"] = weight_changes(
                self.weights(checkpoint), self.weights(before)
            )
        write_json(self.path(checkpoint), result)
        self.forget({checkpoint.fingerprint, reference.fingerprint})

    def comparison(self, result: Result, checkpoint: Checkpoint, other: Checkpoint) -> Result:
        """CKA with the same layers of another checkpoint."""
        others = result if other == checkpoint else self.kept(other)
        theirs = self.states_of(other, others).read()
        mine = self.states_of(checkpoint, result).read()
        norms = (result["state_norms"], others["state_norms"])
        cka = same_layers(mine, theirs, norms, self.device)
        return {"step": other.step, "fingerprint": other.fingerprint, "cka": cka}

    def states_of(self, checkpoint: Checkpoint, result: Result) -> States:
        """Its hidden states; a forward pass, which also fills ``result``, if they are not there."""
        name = f"{self.sample.fingerprint[:16]}.{checkpoint.fingerprint[:16]}.f32"
        states, is_new = States(self.out / "states" / name, self.shape), "masked_acc" not in result
        if states.is_there and not is_new:
            return states
        weights = self.weights(checkpoint)
        load_model_state(self.model, weights, checkpoint.path)
        figures, predictions = forward(
            self.model, self.sample, states, self.device, has_masked=is_new
        )
        if is_new:
            store = self.write_predictions(checkpoint, predictions)
            result.update(figures, **against_teacher(self.sample.teacher, store))
            result["weight_norm"] = weight_norms(weights.items())
        result["state_norms"] = own_norms(states.read(), self.device)
        write_json(self.path(checkpoint), result)
        return states

    def write_predictions(self, checkpoint: Checkpoint, ids: np.ndarray) -> LabelStore:
        """What the checkpoint predicts, (N,), as a label set of the sample."""
        folder = self.predictions(checkpoint)
        info = dataclasses.replace(
            self.sample.teacher.info, codebook_sha256=checkpoint.fingerprint,
            teacher=f"{self.run.exp.name}, step {checkpoint.step}",
        )  # fmt: skip
        write_labels(labels_file(folder, SHARD), ids)
        write_info(folder, info)
        return LabelStore.open(self.sample.index, folder)

    def map_of_layers(self) -> list[list[float | None]]:
        """CKA of each two layers of the reference."""
        path, reference = self.out / "layers.json", self.run.reference
        key = {"fingerprint": reference.fingerprint, "sample": self.sample.fingerprint}
        if path.is_file():
            kept = read_json(path)
            if all(kept.get(name) == value for name, value in key.items()):
                return kept["cka"]
        result = self.kept(reference)
        states = self.states_of(reference, result).read()
        table = all_layers(states, result["state_norms"], self.device)
        write_json(path, {**key, "cka": table})
        return table

    def forget(self, wanted: Set[str] = frozenset()) -> None:
        """Delete hidden states of all checkpoints but the ``wanted`` (fingerprints), and close."""
        self.opened = {name: one for name, one in self.opened.items() if name in wanted}
        names = tuple(f"{self.sample.fingerprint[:16]}.{name[:16]}.f32" for name in wanted)
        for path in (self.out / "states").glob("*.f32"):
            if path.name not in names:
                path.unlink()

    def path(self, checkpoint: Checkpoint) -> Path:
        """Where the figures of a checkpoint lie."""
        return self.out / "checkpoints" / f"{checkpoint.path.stem}.json"

    def predictions(self, checkpoint: Checkpoint) -> Path:
        """Where its predictions lie."""
        return self.out / "predictions" / checkpoint.path.stem


def compared_with(result: Result, name: str) -> str | None:
    """Fingerprint of the checkpoint that ``reference`` or ``previous`` was measured with."""
    return result.get(name, {}).get("fingerprint")


def against_teacher(teacher: LabelStore, predicted: LabelStore) -> Result:
    """How far predictions on visible input are the training labels.

    ``visible_acc``: share of frames with the label itself; ``nmi`` and ``matched`` as in
    ``tokens.quality.agreement``; ``pnmi``, ``purity``: the labels as tokens, predictions as
    clusters.
    """
    joint = joint_table(teacher, predicted)  # (K, K)
    found = measures(joint)
    is_right = joint.rows == joint.columns
    return {
        "visible_acc": int(joint.counts[is_right].sum()) / joint.total,
        "nmi": nmi(joint),
        "matched": matched(joint),
        "pnmi": found["pnmi"],
        "purity": found["phone_purity"],
        "predicted_clusters": found["clusters"],
    }


def line(result: Result) -> str:
    """The figures of a checkpoint for a person."""
    known = [value for value in result["reference"]["cka"] if value is not None]
    acc = result["masked_acc"]
    parts = [f"step {result['step']}"]
    if acc is not None:
        parts.append(f"masked accuracy {100 * acc:.1f} %")
    parts.append(f"visible {100 * result['visible_acc']:.1f} %")
    if known:
        parts.append(f"CKA to step {result['reference']['step']} {min(known):.2f}–{max(known):.2f}")
    return ", ".join(parts)
