"""Send a Hugging Face folder to the hub, after it was loaded and compared.

DIR is what stage 9 writes as export/hf, what export_cell makes of a finished cell, or what
transformers' Trainer saved, with the processor and a README.md. It is loaded as users load it:
every weight in its place, the features those of SSLTask (of a recogniser: pipeline hears what the
model says), a licence in README.md. What would be sent is listed with its size; whatever else lies
in the folder stays. Log in once with 'hf auth login', or set HF_TOKEN.

examples:
  python3 -m espnet2.bin.push_to_hub exp/ssl_mini/export/hf --repo OWNER/NAME --dry_run
  python3 -m espnet2.bin.push_to_hub exp/ssl_mini/export/hf --repo OWNER/NAME --private
"""

from pathlib import Path

from espnet2.utils.cli import command_parser, run_main


def main(argv: list[str] | None = None) -> None:
    """Check, list, send."""
    parser = command_parser(__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder to send")
    parser.add_argument("--repo", required=True, metavar="NAME",
                        help="the repository OWNER/NAME, made where there is none")  # fmt: skip
    parser.add_argument("--private", action="store_true",
                        help="make a new repository private (default: public)")  # fmt: skip
    parser.add_argument("--dry_run", action="store_true", help="check and list; send nothing")
    args = parser.parse_args(argv)
    # What imports torch comes after the options, so that --help and errors come at once.
    from espnet2.hf.folder_check import check_folder
    from espnet2.hf.upload import report, upload

    folder = check_folder(args.folder)
    for line in report(folder):
        print(line, flush=True)
    if args.dry_run:
        print(f"nothing was sent to {args.repo}: --dry_run")
        return
    print(f"sent: {upload(folder, args.repo, args.private)}")


if __name__ == "__main__":
    run_main(main)
