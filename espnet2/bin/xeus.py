"""One command for a trained XEUS: features, tokens, languages, transcripts, and what goes wrong.

Each part has a --help of its own and is also `python3 -m espnet2.bin.<module>`. Recipes are run by
egs2/<recipe>/ssl1/run.sh, whose stages are the other modules of espnet2.bin.

examples:
  xeus doctor
  xeus inspect xeus/model/xeus_checkpoint_new.pth
  xeus features --checkpoint xeus/model/xeus_checkpoint_new.pth --wav a.flac b.mp3 --out features
  xeus transcribe --cell exp/superb/pretrained/joint_10min_lr0.001_seed1 --wav a.flac
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from espnet2.utils.cli import command_parser, exit_status

COMMANDS = {  # name: (module of espnet2.bin, what it does)
    "features": ("extract_features", "features of recordings, from any checkpoint of a XEUS"),
    "tokens": ("tokens", "cluster ids of recordings, as stage 5 labels them"),
    "lid": ("lid", "the language of recordings, by a recogniser of stage 11"),
    "transcribe": ("transcribe", "the words of recordings, by a recogniser of stage 11"),
    "inspect": ("inspect_checkpoint", "what a checkpoint holds, and whether it would load"),
    "bench": ("bench", "speed and memory, measured side by side"),
    "doctor": ("doctor", "what of this machine would get in the way"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands; returns its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = parse(words[:1]).command
    sys.argv = [f"xeus {name}", *words[1:]]  # what help, log and errors call the program

    def run() -> int | None:
        module, _ = COMMANDS[name]
        return importlib.import_module(f"espnet2.bin.{module}").main(words[1:])

    return exit_status(run)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command's name; its own options are for its own parser."""
    parser = command_parser(__doc__)
    parser.prog = "xeus"
    commands = parser.add_subparsers(dest="command", required=True, title="commands")
    for name, (_, summary) in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
