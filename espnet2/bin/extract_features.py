r"""Features of a list of recordings, from the released checkpoint or any of its kind.

python3 -m espnet2.bin.extract_features --checkpoint xeus/xeus_checkpoint.pth \
    --wav_scp data/wav.scp --layer 14 --out features

Audio of any rate, format and number of channels is brought to 16 kHz mono. Writes
OUT/<utt_id>.npz with the array "features" (frames, width), 50 frames a second; or, with
--format ark, OUT/features.ark and OUT/features.scp, sorted by id. OUT/dropped.tsv comes last and
names what has no features, with the reason. A run that was cut off leaves whole files only; the
same command starts from the beginning.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from espnet2.data.feature_files import FORMATS
from espnet2.data.hours import summary
from espnet2.data.kaldi import Utterance
from espnet2.data.recordings import listed, plain_files, with_durations
from espnet2.data.tsv import Dropped, write_dropped
from espnet2.ssl.extract import Extractor, extract
from espnet2.tasks.ssl import SSLTask
from espnet2.utils.cli import run_main
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.logs import log

BAR = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


def main(argv: Sequence[str] | None = None) -> None:
    """Check the options and the list, load the model, write the features.

    Raises:
        ConfigError: options that do not go together.
        DataError: a list that cannot be used, or no recording that can.
    """
    args = parse(argv)
    refuse_contradictions(args)
    utterances = plain_files(args.wav) if args.wav else listed(args.wav_scp, args.segments)
    check_ids, _ = FORMATS[args.format]
    check_ids([u.utt_id for u in utterances])
    model, _ = SSLTask.build_model_from_file(args.config, args.checkpoint, args.device)
    extractor = Extractor(model, args.layer, getattr(torch, args.dtype), args.bf16)
    utterances = with_durations(tqdm(utterances, "audio headers", disable=None))
    write_features(extractor, utterances, args)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, metavar="FILE",
        help=".pth of either released layout, or .safetensors")  # fmt: skip
    add("--config", type=Path, metavar="FILE",
        help="its YAML (default: config.yaml beside the checkpoint)")  # fmt: skip
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--wav_scp", type=Path, metavar="FILE",
        help="Kaldi list, sorted by id: 'id path' or 'id ark:offset'")  # fmt: skip
    either.add_argument("--wav", type=Path, nargs="+", metavar="FILE",
        help="audio files; the id is the file's name without its ending")  # fmt: skip
    add("--segments", type=Path, metavar="FILE",
        help="Kaldi segments of the list: 'id recording start end'")  # fmt: skip
    add("--layer", default="last", metavar="N|last|final|all",
        help="N: output of block N, counted from 1 as in the paper; last (default): of the last "
        "block; final: that after the final norm; all: (blocks, frames, width)")  # fmt: skip
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    add("--format", choices=list(FORMATS), default="npz", help="default: npz")
    add("--dtype", choices=["float32", "float16"], default="float32",
        help="of the features (default: float32); an ark holds float32 only")  # fmt: skip
    add("--device", choices=["cpu", "cuda"], default="cpu", help="default: cpu")
    add("--bf16", action="store_true", help="compute in bfloat16: faster where the device has it")
    add("--batch_seconds", type=seconds, default=60.0, metavar="S",
        help="seconds of audio in a batch, padding included (default: 60). A recording is always "
        "encoded whole: about 1 GB of memory a minute; cut long ones with --segments")  # fmt: skip
    return parser.parse_args(argv)


def seconds(text: str) -> float:
    """A positive number, for argparse."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return number


def refuse_contradictions(args: argparse.Namespace) -> None:
    """Raise ConfigError for options that cannot be kept together."""
    if args.segments and not args.wav_scp:
        raise ConfigError("--segments cuts the recordings of a --wav_scp, not of --wav")
    if args.format == "ark" and args.dtype != "float32":
        raise ConfigError("--dtype float16 needs --format npz: a Kaldi ark holds float32")
    if args.format == "ark" and args.layer == "all":
        raise ConfigError("--layer all needs --format npz: a Kaldi ark holds one matrix an id")


def write_features(
    extractor: Extractor, utterances: list[Utterance], args: argparse.Namespace
) -> None:
    """Extract, write, count; ``dropped.tsv`` and the summary come last.

    Raises DataError when nothing could be extracted.
    """
    dropped_tsv, (_, open_writer) = args.out / "dropped.tsv", FORMATS[args.format]
    dropped_tsv.unlink(missing_ok=True)
    begun, total_s, done_s = time.time(), sum(u.duration_s for u in utterances), 0.0
    dropped = []
    writer = open_writer(args.out, [u.utt_id for u in utterances])
    with writer as write, tqdm(total=total_s, bar_format=BAR, disable=None) as bar:
        for utterance, result in extract(extractor, utterances, args.batch_seconds):
            if isinstance(result, Dropped):
                dropped.append(result)
            else:
                write(utterance.utt_id, result.numpy())
                done_s += utterance.duration_s
            bar.set_postfix_str(times_real_time(done_s, begun), refresh=False)
            bar.update(utterance.duration_s)
    dropped.sort(key=lambda d: d.utt_id.encode())
    write_dropped(dropped_tsv, dropped)
    count = len(utterances)
    if len(dropped) == count:
        raise DataError(
            f"none of the {count} utterances could be used; the first: {dropped[0].utt_id}: "
            f"{dropped[0].detail}; see {dropped_tsv}"
        )
    reasons = Counter(d.reason for d in dropped)
    line = summary(count, total_s / 3600, count - len(dropped), done_s / 3600, reasons)
    log(f"{args.out}: {times_real_time(done_s, begun)}")
    log(f"{args.out}: {line}")


def times_real_time(done_s: float, begun: float) -> str:
    """Seconds of audio a second since ``begun``, in words."""
    return f"{done_s / max(time.time() - begun, 1e-9):.1f} x real time"


if __name__ == "__main__":
    run_main(main)
