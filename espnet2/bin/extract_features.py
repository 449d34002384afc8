r"""Features of recordings, from the released checkpoint or any of its kind.

Audio of any rate, format and number of channels is brought to 16 kHz mono. Writes
OUT/<utt_id>.npz with the array "features" (frames, width), 50 frames a second; or, with
--format ark, OUT/features.ark and OUT/features.scp, sorted by id. OUT/dropped.tsv comes last and
names what has no features, with the reason. Exit status 1 if nothing can be used. A run that was
cut off leaves whole files only; the same command starts from the beginning.

A recording is encoded whole: about 1 GB of memory a minute; cut long ones with --segments.

examples:
  xeus features --checkpoint xeus/model/xeus_checkpoint_new.pth --wav a.flac b.mp3 --out features
  xeus features --checkpoint xeus/model/xeus_checkpoint_new.pth --wav_scp data/wav.scp \
      --layer 14 --format ark --device cuda --bf16 --out features
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet2.utils.cli import add_device, add_recordings, command_parser, run_main
from espnet2.utils.errors import ConfigError

FORMATS = ("npz", "ark")


def main(argv: Sequence[str] | None = None) -> None:
    """Check the options and the list, load the model, write the features.

    Raises:
        ConfigError: options that do not go together.
        DataError: a list that cannot be used, or no recording that can.
    """
    args = parse(argv)
    refuse_contradictions(args)
    # What imports torch comes after the options, so that --help and errors come at once.
    import torch
    from tqdm import tqdm

    from espnet2.data import feature_files
    from espnet2.data.outcome import Outcome
    from espnet2.data.recordings import chosen, with_durations
    from espnet2.data.tsv import Dropped
    from espnet2.ssl.extract import Extractor, extract
    from espnet2.tasks.ssl import SSLTask

    utterances = chosen(args)
    check_ids, open_writer = feature_files.FORMATS[args.format]
    check_ids([u.utt_id for u in utterances])
    model, _ = SSLTask.build_model_from_file(args.config, args.checkpoint, args.device)
    extractor = Extractor(model, args.layer, getattr(torch, args.dtype), args.bf16)
    utterances = with_durations(tqdm(utterances, "audio headers", disable=None))
    dropped_tsv = args.out / "dropped.tsv"
    dropped_tsv.unlink(missing_ok=True)
    outcome = Outcome(utterances, str(args.out))
    with open_writer(args.out, [u.utt_id for u in utterances]) as write:
        for utterance, result in extract(extractor, utterances, args.batch_seconds):
            if isinstance(result, Dropped):
                outcome.add(utterance, result)
            else:
                write(utterance.utt_id, result.numpy())
                outcome.add(utterance)
    outcome.finish(dropped_tsv)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, metavar="FILE",
        help=".pth of either released layout, .safetensors, or a Hugging Face folder")  # fmt: skip
    add("--config", type=Path, metavar="FILE",
        help="its YAML (default: config.yaml beside the checkpoint)")  # fmt: skip
    add_recordings(parser)
    add("--layer", default="last", metavar="N|last|final|all",
        help="N: output of block N, counted from 1 as in the paper; last (default): of the last "
        "block; final: that after the final norm; all: (blocks, frames, width)")  # fmt: skip
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    add("--format", choices=FORMATS, default="npz", help="form of the features (default: npz)")
    add("--dtype", choices=["float32", "float16"], default="float32",
        help="type of the features (default: float32); an ark holds float32 only")  # fmt: skip
    add_device(parser, 60.0)
    add("--bf16", action="store_true", help="compute in bfloat16: faster where the device has it")
    return parser.parse_args(argv)


def refuse_contradictions(args: argparse.Namespace) -> None:
    """Raise ConfigError for options that cannot be kept together."""
    if args.format == "ark" and args.dtype != "float32":
        raise ConfigError("--dtype float16 needs --format npz: a Kaldi ark holds float32")
    if args.format == "ark" and args.layer == "all":
        raise ConfigError("--layer all needs --format npz: a Kaldi ark holds one matrix an id")


if __name__ == "__main__":
    run_main(main)
