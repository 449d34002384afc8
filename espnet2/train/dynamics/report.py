"""``dynamics.json``, ``dynamics.tsv`` and the sentences of ``dynamics.md``.

Shapes: C checkpoints, L layers.
"""

from pathlib import Path
from typing import Any

from espnet2.train.dynamics.checkpoints import part_order
from espnet2.train.metrics import read_metrics
from espnet2.train.state import rows_path
from espnet2.utils.files import read_json, write_json, write_text

ROW_KEYS = ("lr", "loss", "grad_norm", "x_real_time", "mfu", "step_s")  # of metrics.jsonl
OWN_KEYS = (
    "masked_acc", "masked_loss", "majority_share", "visible_acc", "nmi", "matched", "pnmi",
    "purity", "predicted_clusters",
)  # fmt: skip
PHONE_KEYS = {
    "phone_purity": "phone_purity", "cluster_purity": "phone_cluster_purity",
    "pnmi": "phone_pnmi", "pnmi_exchanged": "phone_pnmi_exchanged",
}  # fmt: skip
SETTLED = 0.9  # CKA from which a layer counts as the final one
FEW_FRAMES = 10  # times the width; with fewer, CKA is high by chance


def with_rows(results: list[dict[str, Any]], exp: Path) -> list[dict[str, Any]]:
    """The results, each with ``train``: the row of training that was kept beside the checkpoint.

    Where there is none, the last one up to its step in the run's metrics.
    """
    metrics = [row for row in read_metrics(exp / "metrics.jsonl") if row.get("split") == "train"]
    return [{**result, "train": row_of(result["step"], exp, metrics)} for result in results]


def row_of(step: int, exp: Path, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of training that speaks of ``step``; {} where there is none."""
    beside = rows_path(exp / "intermediate", step)
    kept = read_json(beside)["train"] if beside.is_file() else None
    earlier = (row for row in metrics if row["step"] <= step)
    return kept or max(earlier, key=lambda row: row["step"], default={})


def write_report(out: Path, found: dict[str, Any]) -> str:
    """Write the three files; returns the page.

    ``found``: ``sample``, ``reference``, ``skipped``, ``checkpoints`` (results with ``train`` and
    perhaps ``phones``), ``layers`` (L, L), ``labels`` (the training labels' measures) or None.
    """
    write_json(out / "dynamics.json", found)
    table = [flat(result) for result in found["checkpoints"]]
    names = list(max(table, key=len))  # a row may lack the last columns, none has others
    lines = ["\t".join(names)]
    lines += ["\t".join(cell(row.get(name)) for name in names) for row in table]
    write_text(out / "dynamics.tsv", "\n".join(lines) + "\n")
    page = "\n\n".join(parts(found)) + "\n"
    write_text(out / "dynamics.md", page)
    return page


def flat(result: dict[str, Any]) -> dict[str, Any]:
    """A result as one row of the table."""
    row = {"step": result["step"]}
    row |= {name: result["train"].get(name) for name in ROW_KEYS}
    row |= {name: result[name] for name in OWN_KEYS}
    if "phones" in result:
        row |= {column: result["phones"][name] for name, column in PHONE_KEYS.items()}
    for kind in ("reference", "previous"):
        cka = result.get(kind, {}).get("cka", [])
        row |= {f"cka_{kind}_{layer}": value for layer, value in enumerate(cka, 1)}
    changes = result.get("previous", {}).get("weight_change", {})
    parts = sorted(changes, key=part_order)
    return row | {f"change_{part.replace(' ', '_')}": changes[part] for part in parts}


def cell(value: float | None) -> str:
    """A number of the table; empty where there is none."""
    return "" if value is None else f"{value:.6g}"


def parts(found: dict[str, Any]) -> list[str]:
    """The paragraphs of the page."""
    rows, sample = found["checkpoints"], found["sample"]
    steps = f"step {rows[0]['step']:,} to {rows[-1]['step']:,}" if rows[1:] else "one step only"
    page = [
        "# Training dynamics",
        f"{len(rows)} checkpoints of `{found['exp']}` ({steps}) on {sample['utterances']:,} "
        f"validation utterances ({sample['hours']:.2f} h, {sample['frames']:,} frames, seed "
        f"{sample['seed']}); the final model is that of step {found['reference']:,}. "
        "Utterances are whole and stand alone; training validates on crops or on several laid end "
        "to end, so its own figures differ. Every number is in `dynamics.tsv` and `dynamics.json`.",
    ]
    if found["skipped"]:
        page.append(f"Left out, cut or damaged: {', '.join(found['skipped'])}.")
    if sample["frames"] < FEW_FRAMES * sample["width"]:
        page.append(
            f"**Few frames**: {sample['frames']:,} for {sample['width']} dimensions; CKA is high "
            f"by chance below {FEW_FRAMES} a dimension. Give more with --hours."
        )
    if len(rows) == 1:
        page.append("With a single checkpoint there is no course to see, only its own figures.")
    return [
        *page,
        "## Accuracy\n\n![](accuracy.png)", masked_text(rows),
        "## Predictions as labels\n\n![](purity.png)", visible_text(rows, found["labels"]),
        "## CKA with the final model\n\n![](cka_final.png)", settled_text(rows),
        "## CKA with the checkpoint before\n\n![](cka_previous.png)", previous_text(rows),
        "## Weights\n\n![](weights.png)", weights_text(rows),
        "## Layers of the final model\n\n![](cka_layers.png)", layers_text(found["layers"]),
    ]  # fmt: skip


def masked_text(rows: list[dict[str, Any]]) -> str:
    """How masked accuracy went."""
    known = [row for row in rows if row["masked_acc"] is not None]
    if not known:
        return "The last phase masks no frames: there is no masked accuracy."
    first, last = known[0], known[-1]
    best = max(known, key=lambda row: row["masked_acc"])
    half = (first["masked_acc"] + last["masked_acc"]) / 2
    reached = next(row for row in known if row["masked_acc"] >= min(half, best["masked_acc"]))
    share = last["majority_share"]
    return (
        f"Masked accuracy goes from {percent(first['masked_acc'])} (step {first['step']:,}) to "
        f"{percent(last['masked_acc'])} (step {last['step']:,}), "
        f"{last['masked_acc'] / share:.1f} × the majority share of {percent(share)}; the loss of a "
        f"masked frame from {first['masked_loss']:.3f} to {last['masked_loss']:.3f} nats. The best "
        f"is {percent(best['masked_acc'])} at step {best['step']:,}; half of the way is done at "
        f"step {reached['step']:,}."
    )


def visible_text(rows: list[dict[str, Any]], labels: dict[str, Any] | None) -> str:
    """How predictions on visible input became labels."""
    first, last = rows[0], rows[-1]
    text = (
        f"On visible input the prediction is the training label itself in "
        f"{percent(first['visible_acc'])} of the frames at step {first['step']:,} and in "
        f"{percent(last['visible_acc'])} at step {last['step']:,}; mutual information (NMI) with "
        f"the labels goes from {first['nmi']:.3f} to {last['nmi']:.3f}, clusters in use from "
        f"{first['predicted_clusters']} to {last['predicted_clusters']}."
    )
    if labels is None:
        return text
    one, other = first["phones"], last["phones"]
    best = max(rows, key=lambda row: row["phones"]["pnmi"] or 0)
    return (
        f"{text} Against phones ({labels['frames']:,} frames), PNMI of the predictions goes from "
        f"{figure(one['pnmi'])} to {figure(other['pnmi'])}, that of the labels they were trained "
        f"on being {figure(labels['pnmi'])}; the best is {figure(best['phones']['pnmi'])} at step "
        f"{best['step']:,}. Phone purity goes from {figure(one['phone_purity'])} to "
        f"{figure(other['phone_purity'])}, of the labels {figure(labels['phone_purity'])}."
    )


def settled_text(rows: list[dict[str, Any]]) -> str:
    """From which step on each layer is the final one."""
    others = [row for row in rows if row["reference"]["step"] != row["step"]]
    if not others:
        return "The final model is all there is."
    first = others[0]
    settled = [settled_step(others, layer) for layer in range(len(first["reference"]["cka"]))]
    steps = [
        f"block {layer} {'from step ' + format(step, ',') if step else 'only at the end'}"
        for layer, step in enumerate(settled, 1)
    ]
    return (
        f"CKA with the final model at step {first['step']:,}: "
        f"{', '.join(map(figure, first['reference']['cka']))} (block 1 to "
        f"{len(settled)}). It stays at {SETTLED} or above: {', '.join(steps)}."
    )


def settled_step(rows: list[dict[str, Any]], layer: int) -> int | None:
    """The step from which a layer's CKA with the final model stays high; None if it never does."""
    step = None
    for row in reversed(rows):
        if (row["reference"]["cka"][layer] or 0) < SETTLED:
            break
        step = row["step"]
    return step


def previous_text(rows: list[dict[str, Any]]) -> str:
    """Where the layers changed most from one checkpoint to the next."""
    lowest = [
        (value, row["step"], layer)
        for row in rows
        for layer, value in enumerate(row.get("previous", {}).get("cka", []), 1)
        if value is not None
    ]
    if not lowest:
        return "There is no checkpoint before."
    value, step, layer = min(lowest)
    last = [value for value, at, _ in lowest if at == lowest[-1][1]]
    return (
        f"The largest turn between two checkpoints is that of block {layer} before step {step:,} "
        f"(CKA {figure(value)}); in the last interval all blocks are at {figure(min(last))} or "
        f"above."
    )


def weights_text(rows: list[dict[str, Any]]) -> str:
    """How far the weights moved between checkpoints."""
    moved = [row for row in rows if "previous" in row]
    if not moved:
        return "There is no checkpoint before."
    largest = {
        part: max((row["previous"]["weight_change"].get(part, 0.0), row["step"]) for row in moved)
        for part in moved[0]["previous"]["weight_change"]
    }
    part = max(largest, key=largest.get)
    value, step = largest[part]
    ends = moved[-1]["previous"]["weight_change"]
    return (
        f"Most moves the part “{part}”, by {percent(value)} of its norm before step {step:,}; in "
        f"the last interval the parts move by {percent(min(ends.values()))} to "
        f"{percent(max(ends.values()))}."
    )


def layers_text(table: list[list[float | None]]) -> str:
    """How alike the layers of the final model are."""
    if len(table) == 1:
        return "The model has one block."
    near = [table[i][i + 1] for i in range(len(table) - 1)]
    known = [value for value in near if value is not None]
    if not known:
        return "CKA cannot be had: the states are constant or not finite."
    return (
        f"Neighbouring blocks of the final model have a CKA of {figure(min(known))} to "
        f"{figure(max(known))}, the first and the last block {figure(table[0][-1])}."
    )


def figure(value: float | None) -> str:
    """Three decimals, or a dash."""
    return "–" if value is None else f"{value:.3f}"


def percent(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.1f} %"
