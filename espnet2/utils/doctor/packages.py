"""Python and packages: what ``tools/check_install.py`` tells, as findings."""

import platform
import shutil
import sys
from collections.abc import Iterator

from espnet2.utils import requirements
from espnet2.utils.doctor.finding import Finding, judged


def package_findings() -> Iterator[Finding]:
    """Python, what is required, what is optional, and who else calls itself espnet2."""
    problems = requirements.stops_everything()
    yield judged("Python", f"{platform.python_version()} in {sys.prefix}")
    for problem in problems:
        found, _, advice = problem.partition(": ")
        yield judged("installation", found, fail=advice or problem)
    if not problems:
        count = len(requirements.REQUIRED)
        yield judged("installation", f"{count} required packages, no other package espnet2")
    missing = [name for name in requirements.OPTIONAL if requirements.version(name) is None]
    found = f"{len(requirements.OPTIONAL) - len(missing)} of {len(requirements.OPTIONAL)} there"
    advice = f"without {', '.join(missing)}; the table of packages says what for" if missing else ""
    yield judged("optional", found, advice=advice)


def table() -> list[dict[str, str]]:
    """Every package and program: its kind, name, version or place, and what it is for."""
    rows = []
    for kind, packages in (
        ("required", requirements.REQUIRED), ("optional", requirements.OPTIONAL),
    ):  # fmt: skip
        for name, purpose in packages.items():
            there = requirements.version(name) or "missing"
            rows.append({"kind": kind, "name": name, "there": there, "purpose": purpose})
    for name, purpose in requirements.PROGRAMS.items():
        there = shutil.which(name) or "missing"
        rows.append({"kind": "program", "name": name, "there": there, "purpose": purpose})
    return rows


def table_lines() -> Iterator[str]:
    """The table for people."""
    kind = ""
    for row in table():
        if row["kind"] != kind:
            kind = row["kind"]
            yield "programs:" if kind == "program" else f"{kind}:"
        yield f"  {row['name']:20} {row['there']:24} {row['purpose']}"
