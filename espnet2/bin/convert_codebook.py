"""A codebook of another program as one of ours; then stage 5 labels with it.

FILE is an array in .npy or .npz, a .safetensors file (a tensor "centroids", or a single one), or a
joblib or pickle file of a KMeans or MiniBatchKMeans, as ESPnet's and fairseq's learn_kmeans.py
write. A pickle runs code when it is read, so it is refused without --trust.

Section "tokens" of the recipe YAML names the teacher and layer that the codebook was fitted on; its
width is checked, and its identity recorded in OUT/codebook.safetensors and OUT/codebook.json with
the file's hash.

examples:
  python3 -m espnet2.bin.convert_codebook --conf conf/mini.yaml --out exp/tokens/mini km_128.npy
  python3 -m espnet2.bin.convert_codebook --conf conf/mini.yaml --out exp/tokens/mini --trust km.bin
"""

from pathlib import Path

from espnet2.tokens.config import TokensConfig
from espnet2.tokens.convert_codebook import convert_codebook
from espnet2.utils.cli import add_conf, command_parser, run_main
from espnet2.utils.config import from_dict, load_section


def main(argv: list[str] | None = None) -> None:
    """Convert one file."""
    parser = command_parser(__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="the codebook to convert")
    add_conf(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--trust", action="store_true", help="read a pickle, running its code")
    args = parser.parse_args(argv)
    config = from_dict(TokensConfig, load_section(args.conf, "tokens", args.set), "tokens")
    convert_codebook(args.file, args.out, config, args.trust)


if __name__ == "__main__":
    run_main(main)
