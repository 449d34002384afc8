"""The study of a run as files for people: figures, table, page and plots."""

from pathlib import Path
from typing import Any

import torch

from espnet2.data.frames import HOP_SAMPLES, SAMPLE_RATE_HZ
from espnet2.data.labels import LabelStore
from espnet2.train.dynamics.checkpoints import Run
from espnet2.train.dynamics.phones import against_phones
from espnet2.train.dynamics.plots import draw_all
from espnet2.train.dynamics.report import with_rows, write_report
from espnet2.train.dynamics.sample import Sample
from espnet2.train.dynamics.study import Study
from espnet2.utils.provenance import provenance


def publish(run: Run, sample: Sample, out: Path, device: torch.device, ctm: Path | None) -> str:
    """Measure what is missing, write everything to ``out``; returns the page.

    Raises:
        CheckpointError: a checkpoint of another model.
        DataError: audio that cannot be read, or a CTM that is wrong or of other utterances.
    """
    study = Study(run, sample, out, device)
    results = with_rows(study.results(), run.exp)
    layers = study.map_of_layers()
    study.forget()
    labels, coverage = None, None
    if ctm is not None:
        stores = [
            LabelStore.open(sample.index, out / "predictions" / f"step_{result['step']:07d}")
            for result in results
        ]
        labels, phones, coverage = against_phones(sample.teacher, stores, ctm)
        results = [{**a, "phones": b} for a, b in zip(results, phones, strict=True)]
    found: dict[str, Any] = {
        "exp": str(run.exp), "reference": run.reference.step, "skipped": run.skipped,
        "sample": described(sample, study.shape[2]), "checkpoints": results, "layers": layers,
        "labels": labels, "coverage": coverage, "provenance": provenance(),
    }  # fmt: skip
    page = write_report(out, found)
    draw_all(out, found)
    return page


def described(sample: Sample, width: int) -> dict[str, Any]:
    """What was measured on."""
    return {
        "utterances": len(sample.index), "frames": sample.frames, "seed": sample.seed,
        "hours": sample.frames * HOP_SAMPLES / SAMPLE_RATE_HZ / 3600, "width": width,
        "fingerprint": sample.fingerprint,
    }  # fmt: skip
