"""The two pictures of the documentation, drawn from the files they show.

    python3 doc/draw.py            writes doc/flow.svg and doc/model.svg

flow.svg: the stages, from the list at the top of egs2/TEMPLATE/ssl1/ssl.sh. model.svg: XEUS, from
conf/pretrain/xeus.yaml; parameters are counted on a model without weights. Text stays text, and
colours follow the reader's light or dark setting. The same files give the same bytes.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from drawing import DATA, LABELS, MUTED, SCORE, TRAIN, Box, Drawing, label, wrapped

from espnet2.tasks.ssl import SSLTask
from espnet2.utils.config import load_yaml
from espnet2.utils.files import write_text

ROOT = Path(__file__).resolve().parents[1]
DRIVER = ROOT / "egs2/TEMPLATE/ssl1/ssl.sh"
MODEL = ROOT / "conf/pretrain/xeus.yaml"
WIDTH = 790  # points, of both

PLACES = {  # stage: (column, row, colour)
    "data": (0, 0, DATA), "format": (1, 0, DATA), "combine": (2, 0, DATA),
    "augment": (0, 1, DATA), "kmeans": (1, 1, LABELS), "label": (2, 1, LABELS),
    "plan": (3, 1, DATA), "pretrain": (2, 2, TRAIN), "export": (3, 2, TRAIN),
    "superb_data": (0, 3, SCORE), "finetune": (1, 3, SCORE), "score": (2, 3, SCORE),
    "report": (3, 3, SCORE),
}  # fmt: skip
LEGEND = (("audio", DATA), ("labels", LABELS), ("the encoder", TRAIN), ("ML-SUPERB", SCORE))
ARROWS = (  # whose output a stage needs
    ("data", "format"), ("format", "combine"), ("combine", "augment"), ("combine", "kmeans"),
    ("combine", "plan"), ("kmeans", "label"), ("augment", "pretrain"), ("label", "pretrain"),
    ("plan", "pretrain"), ("pretrain", "export"), ("data", "superb_data"),
    ("superb_data", "finetune"), ("export", "finetune"), ("finetune", "score"),
    ("score", "report"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One line of the list of stages."""

    number: int
    name: str
    reads: str
    writes: str


def stages() -> list[Stage]:
    """The stages as the driver's own help lists them."""
    line = re.compile(r"#\s+(\d+) (\w+)\s+(.+?)\s+-> (.+)")
    found = [line.fullmatch(row) for row in DRIVER.read_text().splitlines()]
    return [
        Stage(number=int(m[1]), name=m[2], reads=m[3], writes=m[4]) for m in found if m is not None
    ]


def draw_flow() -> str:
    """The stages in four rows: corpora, what training needs, training, scoring."""
    drawing = Drawing(WIDTH, 500)
    boxes = {}
    for stage in stages():
        column, row, colour = PLACES[stage.name]
        box = Box(x=26 + column * 192, y=396 - row * 128, width=172, height=92)
        boxes[stage.name] = box
        drawing.box(box, colour)
        middle = box.x + box.width / 2
        name = f"{stage.number} {stage.name}"
        drawing.words(middle, box.y + 79, name, weight="bold", fontsize=11.5)
        drawing.words(middle, box.y + 62, stage.reads, MUTED, fontsize=9.5)
        writes = "→ " + wrapped(stage.writes, 27)
        drawing.words(middle, box.y + 28, writes, fontsize=9.5, linespacing=1.3)
    for source, target in ARROWS:
        drawing.arrow(*way(boxes[source], boxes[target]))
    for row, (name, colour) in enumerate(LEGEND):
        drawing.box(Box(x=30, y=208 - row * 20, width=14, height=12), colour)
        drawing.words(50, 214 - row * 20, name, fontsize=9.5, ha="left")
    return drawing.svg()


def way(source: Box, target: Box) -> list[tuple[float, float]]:
    """Points from one box to another: along a row, down to the next, or round the left side."""
    if source.y == target.y:
        sides = ("right", "left") if source.x < target.x else ("left", "right")
        return [source.side(sides[0]), target.side(sides[1])]
    if source.x == target.x and source.y - target.y > 150:
        left, right = source.side("left"), target.side("left")
        return [left, (10, left[1]), (10, right[1]), right]
    return [source.side("bottom"), target.side("top")]


def draw_model() -> str:
    """XEUS from the waveform up, and one of its blocks beside it."""
    options = load_yaml(MODEL)
    conf = options["encoder_conf"]
    with torch.device("meta"):
        model = SSLTask.build_model(options)
    drawing = Drawing(WIDTH, 576)
    draw_tower(drawing, model, options)
    draw_block(drawing, conf, model.encoder.encoders[0])
    return drawing.svg()


def millions(module) -> str:
    """Parameters of a module, for a reader; nothing where there are hardly any."""
    count = sum(p.numel() for p in module.parameters())
    return f"{count / 1e6:,.1f} M" if count > 5e4 else ""


def draw_tower(drawing: Drawing, model, options: dict) -> None:
    """The parts in the order in which sound goes through them, with their parameters."""
    conf, loss, mask = options["encoder_conf"], options["loss_conf"], options["masker_conf"]
    shapes, hop = model.frontend.shapes, model.frontend.hop_samples
    width, encoder, blocks = conf["output_size"], model.encoder, conf["num_blocks"]
    positions = encoder.embed[0]
    kernels = ", ".join(str(kernel) for _, kernel, _ in shapes)
    kernel = positions.conv.weight_g.shape[-1]
    parts = [
        ("waveform", "16 kHz, mean 0 and variance 1 for each utterance", None, DATA),
        (
            f"{len(shapes)} convolutions",
            f"{shapes[0][0]} channels, kernels {kernels}; a frame every {hop} samples",
            model.frontend,
            TRAIN,
        ),
        ("linear", f"{shapes[-1][0]} → {width:,}", model.preencoder, TRAIN),
        (
            "mask, in training",
            f"{mask['mask_selection']} spans, {mask['mask_length']} frames on average, "
            f"probability {mask['mask_prob']}",
            None,
            LABELS,
        ),
        ("position convolution", f"kernel {kernel}; replaces its input", positions, TRAIN),
        (f"{blocks} E-Branchformer blocks", f"width {width:,}; features of any", encoder.encoders,
         TRAIN),
        ("norm", "features after it: use_final_output", encoder.after_norm, TRAIN),
        (
            "loss head, in training",
            f"{width:,} → {loss['final_dim']} → {loss['num_classes']:,}: labels of masked frames",
            model.losses,
            LABELS,
        ),
    ]  # fmt: skip
    box = Box(x=16, y=20, width=410, height=48)
    for name, detail, module, colour in parts:
        drawing.box(box, colour)
        count = "" if module is None else millions(module)
        name_and_count = f"{name} ({count})" if count else name
        drawing.words(box.x + 205, box.y + 33, name_and_count, weight="bold", fontsize=11)
        drawing.words(box.x + 205, box.y + 15, detail, MUTED, fontsize=9.5)
        above = Box(x=box.x, y=box.y + 68, width=box.width, height=box.height)
        if name != parts[-1][0]:
            drawing.arrow(box.side("top"), above.side("bottom"))
        box = above
    total = f"XEUS: {millions(model)} parameters, {millions(model.losses)} of them the loss head's"
    drawing.words(16 + 205, 562, total, fontsize=10.5)


def draw_block(drawing: Drawing, conf: dict, block) -> None:
    """One block: two feed-forwards at half weight around two branches that a convolution merges."""
    drawing.words(620, 562, f"One block ({millions(block)})", fontsize=10.5)
    feed = f"{conf['linear_units']:,} units; half of it is added"
    kernel = conf["merge_conv_kernel"]
    rows = [
        (56, "feed-forward", feed),
        (322, "merge", f"depthwise convolution, kernel {kernel};\nlinear; added"),
        (420, "feed-forward", feed),
        (504, "norm", ""),
    ]
    boxes = []
    for y, name, detail in rows:
        height = 48 + 14 * detail.count("\n") if detail else 32
        boxes.append(Box(x=475, y=y, width=290, height=height))
        drawing.box(boxes[-1], TRAIN)
        label(drawing, boxes[-1], name, detail)
    first, merge, second, norm = boxes
    units, kernel = conf["cgmlp_linear_units"], conf["cgmlp_conv_kernel"]
    gate = f"{units:,} units,\nkernel {kernel}"
    branches = [
        (Box(x=460, y=174, width=150, height=76), "attention", f"{conf['attention_heads']} heads"),
        (Box(x=630, y=174, width=150, height=76), "gating MLP", gate),
    ]
    for box, name, detail in branches:
        drawing.box(box, TRAIN)
        label(drawing, box, name, detail)
        drawing.arrow(first.side("top"), box.side("bottom"))
        drawing.arrow(box.side("top"), merge.side("bottom"))
    drawing.arrow((620, 22), first.side("bottom"))
    drawing.arrow(merge.side("top"), second.side("bottom"))
    drawing.arrow(second.side("top"), norm.side("bottom"))


DRAWINGS = {"flow": draw_flow, "model": draw_model}


def main() -> None:
    """Write both."""
    for name, draw in DRAWINGS.items():
        write_text(ROOT / f"doc/{name}.svg", draw())


if __name__ == "__main__":
    main()
