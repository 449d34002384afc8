r"""A set as a Kaldi data directory, for ESPnet or any program that reads them.

Writes OUT/{wav.scp,utt2spk,spk2utt,utt2lang,utt2corpus,utt2num_samples,utt2dur} in C order, and
with --labels OUT/text, the cluster ids of each utterance, and OUT/tokens.txt, ESPnet's token_list.
utt2num_samples is what ESPnet calls a shape file. No audio is copied: wav.scp points into the
shards (ark:offset, what ESPnet calls kaldi_ark). Stage 2 reads the directory back: the same ids,
audio bytes, languages and speakers.

examples:
  python3 -m espnet2.bin.export_data --index dump/train --out data/train_xeus \
      --labels dump/train/labels/mini
"""

from pathlib import Path

from espnet2.data.export_kaldi import export_kaldi
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.utils.cli import command_parser, run_main
from espnet2.utils.logs import log


def main(argv: list[str] | None = None) -> int:
    """Export one set."""
    parser = command_parser(__doc__)
    parser.add_argument("--index", type=Path, required=True, metavar="DIR",
                        help="the set, such as dump/train")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="data directory to write")  # fmt: skip
    parser.add_argument("--labels", type=Path, metavar="DIR",
                        help="labels of this set, for text (default: no text)")  # fmt: skip
    args = parser.parse_args(argv)
    index = Index.open(args.index.absolute())
    labels = LabelStore.open(index, args.labels) if args.labels else None
    count = export_kaldi(index, args.out, labels)
    log(f"{args.out}: {count} utterances / {index.hours:.2f} h")
    return 0


if __name__ == "__main__":
    run_main(main)
