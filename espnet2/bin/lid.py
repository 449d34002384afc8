r"""Which language is spoken in recordings, by a recogniser (a cell) that stage 11 trained.

Audio of any rate, format and number of channels is brought to 16 kHz mono. A recording longer than
--max_s is cut at its quietest places, and its language is the one heard for most seconds. Writes a
line 'utt deu' an utterance (ISO 639-3, as in the training data), sorted by id, to stdout or to the
file OUT: a Kaldi utt2lang; with --format jsonl an object with utt_id, duration_s, language
and seconds_by_language. What cannot be used, or has no recognised language, is a line on stderr or
a row of OUT.dropped.tsv, with the reason. Exit status 1 if nothing can be used.

CELL must be of task lid or joint. Its config.yaml names the encoder; a relative path in it is
looked for here and above CELL.

examples:
  xeus lid --cell exp/superb/pretrained/lid_10min_lr0.001_seed1 --wav a.flac b.mp3
  xeus lid --cell CELL --wav_scp data/wav.scp --out utt2lang --device cuda
"""

from collections.abc import Sequence
from typing import Any

from espnet2.bin.transcribe import cell_parser, write_heard
from espnet2.utils.cli import run_main

TASKS = ("lid", "joint")
KEYS = ("utt_id", "duration_s", "language", "seconds_by_language")


def main(argv: Sequence[str] | None = None) -> None:
    """Check the list, load the cell, write the languages.

    Raises:
        ConfigError: options or a cell that cannot be used.
        CheckpointError: a cell that is not trained, or damaged.
        DataError: a list that cannot be used, or no recording that can.
    """
    args = cell_parser(__doc__).parse_args(argv)
    write_heard(args, TASKS, language_line, as_json, missing="no language")


def language_line(heard: Any) -> str | None:
    """``utt deu``; None where no language was recognised."""
    return f"{heard.utt_id} {heard.language}" if heard.language else None


def as_json(heard: Any) -> dict[str, Any]:
    """The keys of a line of JSON."""
    found = heard.as_dict()
    return {key: found[key] for key in KEYS}


if __name__ == "__main__":
    run_main(main)
