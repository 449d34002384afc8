r"""A set as a Kaldi data directory, for ESPnet or any program that reads them.

python3 -m espnet2.bin.export_data --index dump/train --out data/train_xeus \
    --labels dump/train/labels/mini

Writes OUT/{wav.scp,utt2spk,spk2utt,utt2lang,utt2corpus,utt2num_samples,utt2dur} in C order, and
with --labels OUT/text, the cluster ids of each utterance. No audio is copied: wav.scp points into
the shards (ark:offset, what ESPnet calls kaldi_ark). Stage 2 reads the directory back: the same
ids, audio bytes, languages and speakers.
"""

import argparse
from pathlib import Path

from espnet2.data.export_kaldi import export_kaldi
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.utils.cli import run_main
from espnet2.utils.logs import log


def main(argv: list[str] | None = None) -> int:
    """Export one set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--index", type=Path, required=True, help="folder of the set")
    parser.add_argument("--out", type=Path, required=True, help="data directory to write")
    parser.add_argument("--labels", type=Path, help="folder of labels of this set, for text")
    args = parser.parse_args(argv)
    index = Index.open(args.index.absolute())
    labels = LabelStore.open(index, args.labels) if args.labels else None
    count = export_kaldi(index, args.out, labels)
    log(f"{args.out}: {count} utterances / {index.hours:.2f} h")
    return 0


if __name__ == "__main__":
    run_main(main)
