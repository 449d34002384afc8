r"""What of this machine and this installation would get in the way, and what to do about it.

Looks at Python and its packages (as tools/check_install.py), threads, memory, file handles, shared
memory, free disk, disk speed (a temporary file of 256 MB in DIR), SLURM, GPUs, torch, and lets two
processes sum numbers with gloo and all GPUs with NCCL. Writes a line a finding: ok, warn (slower or
less than it could be) or fail (something will not work), what there is, what to do; then the table
of packages. Takes half a minute and leaves nothing behind. Exit status 1 where something fails.

examples:
  xeus doctor
  xeus doctor --dir /scratch/me --json > doctor.json
"""

import json
from collections.abc import Iterator
from pathlib import Path

from espnet2.utils.cli import command_parser, run_main
from espnet2.utils.doctor.children import ask
from espnet2.utils.doctor.collectives import LIMIT_S, collective_findings
from espnet2.utils.doctor.disk import disk_findings
from espnet2.utils.doctor.finding import Finding
from espnet2.utils.doctor.gpu import driver_gpus, gpu_findings
from espnet2.utils.doctor.packages import package_findings, table, table_lines
from espnet2.utils.doctor.slurm import slurm_findings
from espnet2.utils.doctor.system import system_findings
from espnet2.utils.errors import ConfigError


def main(argv: list[str] | None = None) -> int:
    """Print the findings; returns 1 where one of them fails."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "--dir", type=Path, default=Path(), metavar="DIR",
        help="where data and experiments will lie (default: this folder)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    args = parser.parse_args(argv)
    if not args.dir.is_dir():
        raise ConfigError(f"--dir {args.dir}: no such folder")
    found = []
    for finding in findings(args.dir):
        found.append(finding)
        if not args.json:
            print(finding.line(), flush=True)
    if args.json:
        report = {"findings": [finding.as_dict() for finding in found], "packages": table()}
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        print("\n".join(["", *table_lines()]))
    return int(any(finding.level == "fail" for finding in found))


def findings(folder: Path) -> Iterator[Finding]:
    """Every subject in turn, the quick ones first."""
    yield from package_findings()
    yield from system_findings(folder)
    yield from disk_findings(folder)
    yield from slurm_findings()
    torch, why = ask("espnet2.utils.doctor.torch_probe", limit_s=LIMIT_S)
    yield from gpu_findings(driver_gpus(), torch, why)
    yield from collective_findings(torch)


if __name__ == "__main__":
    run_main(main)
