"""Labels our way and the way of espnet 202511: time, bytes on disk and memory, side by side.

There, HuBERT's recipe writes the features of all audio, fits k-means on all of them in memory, and
reads them once more for the labels. Here k-means and labels each let the audio stream through the
teacher. Every step runs in a fresh process; one after the other.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from espnet2.bench.model import Answer, duration, waited
from espnet2.bench.sides import Worker
from espnet2.bench.table import Table
from espnet2.bench.tokens_data import TokenSet, make_set
from espnet2.bench.tokens_speed import worker
from espnet2.bench.tokens_teachers import BenchTeacher, hubert, mfcc, size_of
from espnet2.data.frames import num_frames
from espnet2.data.index import Index
from espnet2.utils.errors import DataError
from espnet2.utils.logs import log

PEER = Path(__file__).with_name("tokens_espnet.py")
MFCC_S, NETWORK_S, TINY_S = (900.0, 150.0), (200.0, 50.0), (40.0, 10.0)  # audio, a shard
LABELS_A_FRAME = {"mfcc": 2}  # where the reference labels every 10 ms instead of every 20
FILES = {  # of the reference: what is features, what is labels
    "features": ("feats.ark", "feats.scp", "utt2num_frames"),
    "codebook": ("km.mdl",),
    "labels": ("text",),
}


def side_tables(args: argparse.Namespace, scratch: Path) -> list[Table]:
    """A table for MFCC and one for a network. Raises ConfigError where espnet is missing."""
    tables = []
    for teacher, size in (
        (mfcc(), MFCC_S),
        (hubert(scratch / "hubert", size_of(args.tiny)), NETWORK_S),
    ):
        folder = scratch / teacher.name
        audio = make_set(folder / "speech", args.dump, *(TINY_S if args.tiny else size))
        peer = their_steps(teacher, audio, folder / "espnet", args.peer_python.absolute())
        ours = our_steps(teacher, audio, folder / "ours")
        check_text(audio, folder / "ours" / "text", 1)
        check_text(audio, folder / "espnet" / "text", LABELS_A_FRAME.get(teacher.name, 1))
        spreads = spread(teacher, audio, folder) if teacher.name != "mfcc" else None
        tables.append(table_of(teacher, audio, (ours, peer), folder, spreads, args.tiny))
    return tables


def our_steps(teacher: BenchTeacher, audio: TokenSet, out: Path) -> dict[str, Answer]:
    """Stages kmeans and label, then what is not counted: the last check, and text."""
    out.mkdir(parents=True)
    answers, labels, call = {}, str(out / "labels"), {
        "index": str(audio.index), "codebook": str(out / "codebook"), "config": teacher.section(),
    }  # fmt: skip
    for steps in (
        {"fit": {}},
        {"label": {"out": labels}},
        {"finish": {"out": labels}, "text": {"out": labels, "text": str(out / "text")}},
    ):
        log(f"{teacher.name}, ours: {', '.join(steps)}")
        with worker(out / f"{next(iter(steps))}.log") as side:
            side.ask("open", **call, entries=list(steps))
            for step, arguments in steps.items():
                answers[step] = side.ask(step, **arguments)
    return answers


def their_steps(
    teacher: BenchTeacher, audio: TokenSet, out: Path, python: Path
) -> dict[str, Answer]:
    """The three steps of the reference, and under "open" which one it is."""
    out.mkdir(parents=True)
    answers = {}
    for step, arguments in (("dump", {}), ("learn", {"clusters": teacher.clusters}), ("label", {})):
        log(f"{teacher.name}, espnet: {step}")
        with Worker(python, False, out / f"{step}.log", PEER) as side:
            answers["open"] = open_peer(side, teacher, audio, out)
            if step == "dump":
                side.ask("prepare_dump")
            answers[step] = side.ask(step, **arguments)
    return answers


def open_peer(side: Worker, teacher: BenchTeacher, audio: TokenSet, out: Path) -> Answer:
    """Tell the reference's side what to label."""
    return side.ask(
        "open", folder=str(audio.folder), out=str(out), teacher=teacher.name, conf=teacher.conf
    )


def check_text(audio: TokenSet, text: Path, labels_a_frame: int) -> None:
    """Raise DataError unless the labels of every utterance are as many as its frames.

    Where a side labels more often, every so many-th label counts, the first included.
    """
    opened = Index.open(audio.index)
    wanted = dict(zip(opened.utt_ids[:], num_frames(opened.num_samples[:]).tolist(), strict=True))
    for line in text.read_text(encoding="utf-8").splitlines():
        utt_id, *labels = line.split()
        found, frames = len(labels[::labels_a_frame]), wanted.pop(utt_id)
        if found != frames:
            raise DataError(f"{text}: {utt_id}: {found} labels for {frames} frames")
    if wanted:
        raise DataError(f"{text}: no labels of {next(iter(wanted))}")


def spread(teacher: BenchTeacher, audio: TokenSet, folder: Path) -> tuple[float, float]:
    """Mean squared distance of all frames to our codebook and to the reference's."""
    with worker(folder / "spread.log") as side:
        side.ask("open", index=str(audio.index), codebook="", config=teacher.section(), entries=[])
        side.ask("hear")
        books = (folder / "ours" / "codebook", folder / "espnet" / "centroids.npy")
        ours, peer = (side.ask("spread", codebook=str(book))["mean"] for book in books)
    return ours, peer


def table_of(
    teacher: BenchTeacher, audio: TokenSet, sides: tuple[dict[str, Answer], dict[str, Answer]],
    folder: Path, spreads: tuple[float, float] | None, is_tiny: bool,
) -> Table:  # fmt: skip
    """Times, bytes and memory of both sides."""
    ours, peer = sides
    name = f"espnet {peer['open']['version']}"
    times = [
        ("features to disk", None, seconds(peer, "dump")),
        ("k-means", seconds(ours, "fit"), seconds(peer, "learn")),
        ("labels", seconds(ours, "label"), seconds(peer, "label")),
    ]
    total = tuple(sum(row[side] or 0.0 for row in times) for side in (1, 2))
    written = ours_on_disk(folder / "ours"), {
        kind: sum((folder / "espnet" / file).stat().st_size for file in files)
        for kind, files in FILES.items()
    }  # fmt: skip
    steps = ours["fit"], ours["label"], peer["dump"], peer["learn"], peer["label"]
    return Table(
        title=f"Labels from the audio beside {name}{', tiny' if is_tiny else ''}: {teacher.title}, "
        f"{teacher.clusters} clusters, one thread",
        columns=("what", "this package", name, "ratio"),
        rows=(
            *(time_row(*row) for row in times),
            time_row("all of it", *total),
            *(bytes_row(kind, *(side.get(kind, 0) for side in written)) for kind in FILES),
            bytes_row("all on disk", *(sum(side.values()) for side in written)),
            memory_row("peak memory, largest step", steps, lambda step: step["peak"]),
            memory_row("of it for data, network and k-means", steps,
                       lambda step: step["peak"] - step["before"]),
        ),
        notes=tuple(notes(teacher, audio, sides, spreads, name)),
    )  # fmt: skip


def seconds(answers: dict[str, Answer], step: str) -> float:
    """Of a step."""
    return answers[step]["seconds"][0]


def ours_on_disk(out: Path) -> dict[str, int]:
    """Bytes that our two stages wrote, by kind; quality figures and plot are not labels."""
    sizes = {
        kind: sum(p.stat().st_size for p in (out / kind).iterdir() if "quality" not in p.name)
        for kind in ("codebook", "labels")
    }
    return {"features": 0, **sizes}


def time_row(what: str, ours: float | None, peer: float) -> tuple[str, ...]:
    """A row of times."""
    if ours is None:
        return what, "–", duration(peer), "–"
    return what, duration(ours), duration(peer), f"{peer / ours:.2f} × as fast"


def bytes_row(what: str, ours: float, peer: float) -> tuple[str, ...]:
    """A row of sizes."""
    return what, *(f"{size / 2**20:,.2f} MiB" for size in (ours, peer)), f"{ours / peer:.2g} of it"


def memory_row(
    what: str, steps: tuple[Answer, ...], size: Callable[[Answer], int]
) -> tuple[str, ...]:
    """A row of the largest sizes among our two steps and the reference's three."""
    return bytes_row(what, *(max(map(size, part)) for part in (steps[:2], steps[2:])))


def notes(
    teacher: BenchTeacher, audio: TokenSet, sides: tuple[dict[str, Answer], dict[str, Answer]],
    spreads: tuple[float, float] | None, name: str,
) -> Iterator[str]:  # fmt: skip
    """What both sides did, and where they differ."""
    ours, peer = sides
    yield (
        f"{audio.seconds / 60:.1f} min in {audio.utterances} utterances of 2 to 20 s, "
        f"{audio.shards} shards: {audio.origin}, joined; 16 kHz FLAC. One run of each step in a "
        "process of one thread on one core; start and imports are not counted, loading the "
        "network is."
    )
    yield (
        f"{name}: steps and settings of its HuBERT recipe (perform_kmeans.sh): utterances one by "
        "one through its own data set and iterator (in the process, without its two workers), "
        "float32 Kaldi archives, MiniBatchKMeans on all frames (k-means++, 20 starts, batches of "
        "10,000, at most 100 passes, patience 100) and its score, labels as text, sorted. Here: "
        "stages kmeans and label with the defaults of the section tokens, k-means on all frames "
        "too, so the audio goes through the teacher twice; of a large corpus the sample is small."
    )
    if teacher.name == "mfcc":
        yield (
            "MFCC there come from torchaudio every 10 ms, and the labels are thinned out when "
            "training reads them; every second one fits the frames here. Both texts hold what "
            "the audio of each utterance demands."
        )
    if spreads is not None:
        yield (
            f"The same weights on both sides. Mean squared distance of all frames to the nearest "
            f"centroid: {spreads[0]:.3f} here, {spreads[1]:.3f} there."
        )
    rest = ", ".join(f"{what} {seconds(ours, step):.2f} s" for what, step in (
        ("check, quality figures and plot", "finish"), ("the same labels as text", "text")
    ))  # fmt: skip
    yield f"Not counted here, as the other side has no such step or needs it not: {rest}."
    counted = [ours["fit"], ours["label"], peer["dump"], peer["learn"], peer["label"]]
    yield (
        f"The sides waited for the processor in {waited([counted]):.0%} of their time; above a "
        "few per cent the machine was busy, and the figures are worth less."
    )
