"""What a checkpoint holds, and whether it would load; nothing in the file is run.

Prints size and hash of the file, its key layout, containers and step, tensors and parameters of
each part, and, with a YAML given or found beside it, what would not load. Exit status 1 if it would
not, or if the file is damaged.

examples:
  xeus inspect xeus/model/xeus_checkpoint_new.pth
  xeus inspect checkpoint.pth --config other/config.yaml
"""

from pathlib import Path

from espnet2.utils.cli import command_parser, run_main
from espnet2.utils.errors import ConfigError


def main(argv: list[str] | None = None) -> int:
    """Print the report; returns 1 where the checkpoint would not load."""
    parser = command_parser(__doc__)
    parser.add_argument("checkpoint", type=Path, metavar="FILE",
                        help=".pth, .safetensors or a Hugging Face folder")  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="FILE",
                        help="its YAML (default: config.yaml beside it)")  # fmt: skip
    args = parser.parse_args(argv)
    # What imports torch comes after the options, so that --help and errors come at once.
    from espnet2.ssl.checkpoint_files import read_checkpoint, weights_file
    from espnet2.ssl.config import config_beside
    from espnet2.ssl.inspection import file_lines, problems, tensor_lines

    path = weights_file(args.checkpoint)
    checkpoint = read_checkpoint(path)
    for line in (*file_lines(checkpoint), *tensor_lines(checkpoint)):
        print(line)
    yaml_path = args.config
    if yaml_path is None:
        try:
            yaml_path = config_beside(path)
        except ConfigError as error:
            print(f"config      none: {error}")
    if yaml_path is not None:
        print(f"config      {yaml_path}")
    found = problems(checkpoint, yaml_path)
    sound = "sound; a configuration would tell whether it loads" if yaml_path is None else "exactly"
    print(f"loads       {'no' if found else sound}")
    for problem in found:
        print(f"  {problem}")
    return int(bool(found))


if __name__ == "__main__":
    run_main(main)
