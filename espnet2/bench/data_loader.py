"""Our batches beside lhotse's and ESPnet's: how many seconds of audio a core delivers a second.

Three processes, one a package, each of one thread, take turns within each round; a ratio is taken
within its round. All read the same speech and draw the paper's augmentation with the same chances.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from espnet2.bench.data_audio import BATCH_S, AudioSet, few_clips, make_set
from espnet2.bench.model import Answer, Rounds, waited
from espnet2.bench.sides import Worker
from espnet2.bench.table import Table
from espnet2.data.augment import MixConfig
from espnet2.data.config import BankConfig
from espnet2.utils.errors import ConfigError
from espnet2.utils.logs import log

HERE = Path(__file__).parent
AUDIO_S, TINY_AUDIO_S = 3600.0, 120.0
PASSES = {
    "batches, augmented": ("batches", {"is_augmented": True}),
    "batches, not augmented": ("batches", {"is_augmented": False}),
    "decoding alone": ("decode", {}),
}


def loader_tables(args: argparse.Namespace, scratch: Path) -> list[Table]:
    """Measure the three sides under ``scratch``. Raises ConfigError where a package is missing."""
    if importlib.util.find_spec("lhotse") is None:
        raise ConfigError("lhotse is not installed: pip install 'xeus[lhotse]'")
    bank = few_clips(BankConfig()) if args.tiny else BankConfig()
    log("laying out the speech")
    audio = make_set(scratch, args.dump, TINY_AUDIO_S if args.tiny else AUDIO_S, bank)
    with sides(args.peer_python.absolute(), scratch) as workers:
        opened = [worker.ask("open", **settings(scratch)) for worker in workers]
        for worker in workers:  # what a first call pays for is no part of the speed
            worker.ask("batches", is_augmented=True, number=args.rounds)
        rounds = {what: [] for what in PASSES}
        for number in range(args.rounds):
            log(f"loader: round {number + 1} of {args.rounds}")
            for what, (do, options) in PASSES.items():
                more = {**options, "number": number} if do == "batches" else options
                rounds[what].append([worker.ask(do, **more) for worker in workers])
    names = ("this package", f"lhotse {opened[1]['version']}", f"espnet {opened[2]['version']}")
    table = Table(
        title=f"Loader{', tiny' if args.tiny else ''}: × real time a core",
        columns=("what", *names, f"beside {names[1]}", f"beside {names[2]}"),
        rows=(
            *(speed_row(what, answers) for what, answers in rounds.items()),
            cost_row(rounds["batches, augmented"], rounds["batches, not augmented"]),
        ),
        notes=tuple(notes(audio, args.rounds, rounds, names)),
    )
    return [table]


@contextlib.contextmanager
def sides(peer_python: Path, scratch: Path) -> Iterator[list[Worker]]:
    """Fresh workers: ours, lhotse's, ESPnet's."""
    python = Path(sys.executable)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                Worker(interpreter, name == "ours", scratch / f"{name}.log",
                       HERE / f"loader_{name}.py")
            )
            for name, interpreter in (("ours", python), ("lhotse", python), ("espnet", peer_python))
        ]  # fmt: skip


def settings(folder: Path) -> dict[str, Any]:
    """What every side is told: where the audio is, batch size, and the paper's augmentation."""
    mixing = MixConfig()
    return {
        "folder": str(folder), "batch_s": BATCH_S, "noise_prob": mixing.noise_prob,
        "rir_prob": mixing.rir_prob, "noise_snr_db": mixing.noise_snr_db,
        "speech_snr_db": mixing.speech_snr_db[1], "speech_share": mixing.speech_share,
    }  # fmt: skip


def speed(answer: Answer) -> float:
    """Seconds of audio a second."""
    return answer["audio_s"] / answer["seconds"][0]


def speed_row(what: str, rounds: Rounds) -> tuple[str, ...]:
    """Speeds of the sides, and ours over each peer's with its lowest and highest round."""
    speeds = [[speed(answer) for answer in answers] for answers in rounds]
    middle = [f"{median(side):,.0f} ×" for side in zip(*speeds, strict=True)]
    return what, *middle, *(ratio([own[0] / own[k] for own in speeds]) for k in (1, 2))


def ratio(values: Sequence[float]) -> str:
    """The middle of the rounds' ratios, and their range."""
    return f"{median(values):.2f} × as fast ({min(values):.2f} to {max(values):.2f})"


def cost_row(augmented: Rounds, plain: Rounds) -> tuple[str, ...]:
    """What augmentation adds: milliseconds for each 100 s of audio of a side."""
    costs = [
        [100_000 * (1 / speed(wet) - 1 / speed(dry)) for wet, dry in zip(*pair, strict=True)]
        for pair in zip(augmented, plain, strict=True)
    ]
    middle = [median(side) for side in zip(*costs, strict=True)]
    shares = (f"{middle[0] / max(peer, 1e-9):.2f} of its time" for peer in middle[1:])
    return "augmentation of 100 s", *(f"{ms:.1f} ms" for ms in middle), *shares


def notes(
    audio: AudioSet, count: int, rounds: dict[str, Rounds], names: Sequence[str]
) -> Iterator[str]:
    """What was read, and where the sides differ."""
    mixing = MixConfig()
    delivered = [median(side) / audio.seconds for side in zip(
        *([a["audio_s"] for a in answers] for answers in rounds["batches, augmented"]), strict=True
    )]  # fmt: skip
    everything = [answers for each in rounds.values() for answers in each]
    yield (
        f"{audio.utterances:,} utterances of 10 to 15 s, {audio.seconds / 3600:.2f} h: "
        f"{audio.origin}, joined; 16 kHz FLAC. Batches of {BATCH_S:g} s. Noise or another "
        f"utterance with a chance of {mixing.noise_prob:g}, a room with {mixing.rir_prob:g}; "
        f"medians of {count} rounds of one pass, one process of one thread a side."
    )
    yield (
        "Here: whole training steps by random access, with labels cut alike and the masker's "
        "numbers. lhotse: Shar, DynamicBucketingSampler, CutMix over the whole utterance with "
        "noise only, ReverbWithImpulseResponse, padded audio without labels. ESPnet: kaldi_ark of "
        "our shards, NumElementsBatchSampler, HuBERTCollateFn, labels parsed beforehand."
    )
    yield "Share of the audio delivered after cropping: " + ", ".join(
        f"{name} {share:.1%}" for name, share in zip(names, delivered, strict=True)
    ) + ". Speeds count what was delivered."  # fmt: skip
    yield (
        f"The sides waited for the processor in {waited(everything):.0%} of their time; above a "
        "few per cent the machine was busy, and the figures are worth less."
    )
