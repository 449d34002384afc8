r"""What is said in recordings, by a recogniser (a cell) that stage 11 trained.

Audio of any rate, format and number of channels is brought to 16 kHz mono. A recording longer than
--max_s is cut at its quietest places (0.3 s of least energy, in the middle half of what is cut);
nothing is left out, and the texts of the parts are joined with spaces. Decoding is greedy, as in
stage 12. Writes a line 'utt TEXT' an utterance, sorted by id, to stdout or to the file OUT; with
--format jsonl an object with utt_id, duration_s, language (of a joint cell), text, and
its parts with their times. What cannot be used is a line on stderr or a row of OUT.dropped.tsv,
with the reason. Exit status 1 if nothing can be used.

CELL may be of task mono, multi or joint. Its config.yaml names the encoder; a relative path in it
is looked for here and above CELL.

examples:
  xeus transcribe --cell exp/superb/pretrained/joint_10min_lr0.001_seed1 --wav a.flac b.mp3
  xeus transcribe --cell CELL --wav_scp data/wav.scp --format jsonl --out heard.jsonl --device cuda
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from espnet2.utils.cli import add_device, add_recordings, command_parser, run_main, seconds

FORMATS = ("text", "jsonl")
TASKS = ("mono", "multi", "joint")


def main(argv: Sequence[str] | None = None) -> None:
    """Check the list, load the cell, write what is said.

    Raises:
        ConfigError: options or a cell that cannot be used.
        CheckpointError: a cell that is not trained, or damaged.
        DataError: a list that cannot be used, or no recording that can.
    """
    write_heard(cell_parser(__doc__).parse_args(argv), TASKS, text_line, as_json)


def text_line(heard: Any) -> str:
    """``utt TEXT``; the id alone where nothing was recognised."""
    return f"{heard.utt_id} {heard.text}".rstrip()


def as_json(heard: Any) -> dict[str, Any]:
    """The keys of a line of JSON; those of languages only where the cell knows any."""
    found = heard.as_dict()
    del found["seconds_by_language"]
    if found["language"] is None:
        del found["language"]
    return found


def cell_parser(doc: str) -> argparse.ArgumentParser:
    """The options of every command that hears recordings through a cell."""
    parser = command_parser(doc)
    parser.add_argument(
        "--cell", type=Path, required=True, metavar="DIR",
        help="folder of the cell, exp/superb/<encoder>/<cell>",
    )  # fmt: skip
    parser.add_argument(
        "--export", type=Path, metavar="DIR",
        help="export folder of its encoder (default: where the cell says it was)",
    )  # fmt: skip
    add_recordings(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="file to write (default: stdout)"
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="form of a line (default: text)"
    )
    add_device(parser, 40.0, "; a CPU hears each recording or part alone, whatever S is")
    parser.add_argument(
        "--max_s", type=seconds, default=30.0, metavar="S",
        help="longer recordings are heard in parts of at most so many seconds (default: 30)",
    )  # fmt: skip
    return parser


def write_heard(
    args: argparse.Namespace, tasks: Sequence[str], line: Callable[[Any], str | None],
    keys: Callable[[Any], dict[str, Any]], missing: str = "",
) -> None:  # fmt: skip
    """Hear the recordings; ``line`` and ``keys`` say how each is written.

    An utterance for which ``line`` gives None is dropped, for the reason ``missing``.
    """
    # What imports torch comes after the options, so that --help and errors come at once.
    from tqdm import tqdm

    from espnet2.data.outcome import Outcome, dropped_beside, lines_to
    from espnet2.data.recordings import chosen, with_durations
    from espnet2.data.tsv import Dropped
    from espnet2.tasks.hearing import hear, open_cell

    utterances = chosen(args)
    recogniser = open_cell(args.cell, args.export, args.device, tasks)
    utterances = with_durations(tqdm(utterances, "audio headers", disable=None))
    outcome = Outcome(utterances, str(args.out or args.cell.name))
    with lines_to(args.out) as write:
        for utterance, heard in hear(recogniser, utterances, args.batch_seconds, args.max_s):
            text = None if isinstance(heard, Dropped) else line(heard)
            if text is None and not isinstance(heard, Dropped):
                heard = Dropped(
                    utt_id=utterance.utt_id, reason=missing, detail="the cell recognised none"
                )
            if isinstance(heard, Dropped):
                outcome.add(utterance, heard)
                continue
            is_json = args.format == "jsonl"
            write(json.dumps(keys(heard), ensure_ascii=False) if is_json else text)
            outcome.add(utterance)
        outcome.finish(dropped_beside(args.out))


if __name__ == "__main__":
    run_main(main)
