r"""Cluster ids of recordings: the label of every 20 ms frame, as stage 5 makes them.

Audio of any rate, format and number of channels is brought to 16 kHz mono and rounded to 16 bits,
as stage 2 stores it; its labels are then the same bits as stage 5's for an utterance that stage 2
neither cut nor trimmed. A recording is labelled whole. Writes a line 'utt 12 873 …' an utterance,
sorted by id, to stdout or to the file OUT; what cannot be used is a line on stderr or a row of
OUT.dropped.tsv, with the reason. Exit status 1 if nothing can be used.

CODEBOOK/codebook.json names the teacher; a relative path in it is looked for here and above
CODEBOOK.

examples:
  xeus tokens --codebook exp/tokens/mini --wav a.flac b.mp3
  xeus tokens --codebook exp/tokens/xeus --wav_scp data/wav.scp --out tokens.txt --device cuda
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet2.utils.cli import add_device, add_recordings, command_parser, run_main


def main(argv: Sequence[str] | None = None) -> None:
    """Check the list, load codebook and teacher, label.

    Raises:
        ConfigError: options or a teacher that do not go together.
        DataError: a list or codebook that cannot be used, or no recording that can.
    """
    args = parse(argv)
    # What imports torch comes after the options, so that --help and errors come at once.
    from tqdm import tqdm

    from espnet2.data.outcome import Outcome, dropped_beside, lines_to
    from espnet2.data.recordings import chosen, with_durations
    from espnet2.data.tsv import Dropped
    from espnet2.tasks.ssl import usable_device
    from espnet2.tokens.recordings import labels, open_labeller

    utterances = chosen(args)
    device = str(usable_device(args.device))
    labeller = open_labeller(args.codebook, args.checkpoint, device)
    utterances = with_durations(tqdm(utterances, "audio headers", disable=None))
    outcome = Outcome(utterances, str(args.out or "tokens"))
    with lines_to(args.out) as write:
        for utterance, result in labels(labeller, utterances, args.batch_seconds):
            if isinstance(result, Dropped):
                outcome.add(utterance, result)
            else:
                write(" ".join([utterance.utt_id, *map(str, result.tolist())]))
                outcome.add(utterance)
        outcome.finish(dropped_beside(args.out))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "--codebook", type=Path, required=True, metavar="DIR",
        help="folder of stage 4, exp/tokens/<tag>",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE",
        help="the teacher's weights, or its Hugging Face folder (default: where the codebook "
        "says they were)",
    )  # fmt: skip
    add_recordings(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="file to write (default: stdout)"
    )  # fmt: skip
    add_device(parser, 60.0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_main(main)
