"""``apt-get`` as an ordinary user: its own state folders, nothing installed, no root.

Three ways are tried in turn, each with the machine's own mirror: the lists the system has; fresh
lists in a folder of ours; lists of the pinned Debian release in a folder of ours.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from espnet2.utils.errors import DataError
from espnet2.utils.logs import log
from espnet2.utils.processes import start

POLL_S = 0.1
UPDATE_TIMEOUT_S = 120
KEYRINGS = [
    Path(f"/usr/share/keyrings/debian-archive-keyring.{ending}") for ending in ("pgp", "gpg")
]
APT_GET = ["env", "LC_ALL=C", "apt-get"]  # its messages in English
COMMON = ["-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=1"]
NOT_OFFERED = ("was not found", "Unable to locate package", "No packages found")


class NotOfferedError(DataError):
    """This system has no Debian tools, or its mirror does not hold the pinned package."""


def require_tools() -> None:
    """Raise NotOfferedError where Debian's tools are missing."""
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise NotOfferedError(f"{missing[0]} is not on PATH: not a Debian-like system")


class Apt:
    """Fetches pinned packages into a folder."""

    def __init__(self, state: Path, release: str, mirror: str | None) -> None:
        self.state, self.release, self.mirror = Path(state).resolve(), release, mirror
        self.ways = ["system", "fresh", "release"]  # those still worth trying
        self.options = {"system": COMMON}  # of the ways that are prepared

    def fetch(self, name: str, version: str, target: Path, progress: Callable[[int], None]) -> None:
        """Download ``name=version`` to ``target``; ``progress`` hears the bytes so far.

        Raises:
            NotOfferedError: the mirror answers, but has no such version.
            DataError: the mirror does not answer.
        """
        problems = []
        for way in list(self.ways):
            self.prepare(way)
            problem = self.download(way, f"{name}={version}", target, progress)
            if problem is None:
                self.ways = self.ways[self.ways.index(way) :]  # what failed once fails again
                return
            problems.append(problem)
            if "space" in problem:  # another way would not find more of it
                raise DataError(f"cannot fetch {name}: {problem}; free some space in {self.state}")
        answered = any(self.lists("fresh").glob("*Packages*"))
        if answered and any(sign in problems[-1] for sign in NOT_OFFERED):
            raise NotOfferedError(f"no mirror offers {name} {version} ({problems[-1]})")
        unreachable = "the mirror's package lists cannot be fetched"
        problem = next((p for p in problems if "ailed to fetch" in p), unreachable)
        raise DataError(
            f"cannot fetch {name} {version}: {problem}; check the network and run the same command "
            f"again, or go on with --set data.real=never (the synthetic part alone)"
        )

    def lists(self, way: str) -> Path:
        """The folder of package lists of a way."""
        return self.state / way / "lists"

    def prepare(self, way: str) -> None:
        """Make the configuration of a way, and update its lists, once."""
        if way in self.options:
            return
        for folder in (self.lists(way) / "partial", self.state / way / "cache/archives/partial"):
            folder.mkdir(parents=True, exist_ok=True)
        self.options[way] = [
            *COMMON, "-o", f"Dir::State::Lists={self.lists(way)}",
            "-o", f"Dir::Cache={self.state / way / 'cache'}",
        ]  # fmt: skip
        if way == "release":
            sources = self.state / way / "sources.list"
            sources.write_text(self.source_line())
            parts = self.state / way / "parts"
            parts.mkdir(exist_ok=True)
            self.options[way] += [
                "-o", f"Dir::Etc::SourceList={sources}", "-o", f"Dir::Etc::SourceParts={parts}"
            ]  # fmt: skip
        log(f"reading Debian's package lists ({way})")
        self.apt_get(way, ["update"])

    def source_line(self) -> str:
        """``deb [...] mirror release main`` with the mirror of this system.

        Without Debian's keyring the lists are not checked; the packages still are, by sha256.
        """
        mirror = self.mirror or self.system_mirror()
        if mirror is None:
            return ""
        keyring = next((path for path in KEYRINGS if path.is_file()), None)
        option = f"signed-by={keyring}" if keyring else "trusted=yes"
        return f"deb [{option}] {mirror} {self.release} main\n"

    def system_mirror(self) -> str | None:
        """Where this system gets Debian's main archive from, if it does."""
        form = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
        arguments = ["indextargets", "--format", form, "Created-By: Packages"]
        done = self.apt_get("fresh", arguments)
        rows = [line.split("|") for line in done.stdout.splitlines() if line.count("|") == 2]
        return next((uri for origin, label, uri in rows if origin == label == "Debian"), None)

    def download(
        self, way: str, package: str, target: Path, progress: Callable[[int], None]
    ) -> str | None:
        """Fetch by one way; returns the problem, or None. ``target`` appears whole."""
        folder = target.with_name(f".{target.name}.part")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            with open(folder / "errors", "w+") as errors:
                child = start(
                    [*APT_GET, *self.options[way], "download", package],
                    cwd=folder, stdout=errors, stderr=errors,
                )  # fmt: skip
                while child.poll() is None:
                    time.sleep(POLL_S)
                    progress(sum(path.stat().st_size for path in folder.glob("*.deb")))
                errors.seek(0)
                said = errors.read().splitlines()
            found = list(folder.glob("*.deb"))
            if child.returncode == 0 and len(found) == 1:
                os.replace(found[0], target)
                return None
            reasons = [line[2:].strip() for line in said if line.startswith("E:")]
            return reasons[0] if reasons else f"apt-get ended with status {child.returncode}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def apt_get(self, way: str, arguments: list[str]) -> subprocess.CompletedProcess:
        """Run apt-get to its end."""
        command = [*APT_GET, *self.options[way], *arguments]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=UPDATE_TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            raise DataError(
                f"apt-get {arguments[0]} gave no answer in {UPDATE_TIMEOUT_S} s; check the network "
                f"and the free space of {self.state}"
            ) from None
