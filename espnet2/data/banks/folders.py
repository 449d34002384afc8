"""Audio for the banks: what to take from MUSAN, DNS Challenge, OpenSLR-28, or any other folder.

The data sets are recognised by their folders, at any depth below the one that is given::

    MUSAN          music/ noise/ speech/                        (openslr.org/17)
    OpenSLR-28     simulated_rirs/ real_rirs_isotropic_noises/ pointsource_noises/
    DNS Challenge  noise*/ beside clean*/ or impulse_responses/ (github.com/microsoft/DNS-Challenge)

Everywhere else, every audio file is taken.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import sha256_text

Role = Literal["noise", "rir"]
WANTED = {"noise": "audio of noise", "rir": "impulse responses"}
SUFFIXES = {
    ".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".sph", ".w64",
}  # fmt: skip
MUSAN_PARTS = {"music", "noise", "speech"}
SLR28_REAL = "real_rirs_isotropic_noises"
SLR28_PARTS = {"simulated_rirs", SLR28_REAL, "pointsource_noises"}


@dataclass(frozen=True, kw_only=True)
class BankFile:
    """One file for a bank."""

    path: Path
    name: str  # below the folder that was given, the same wherever that folder lies
    kind: str  # the data set, for bank.json


def audio_files(folders: list[str], role: Role, musan_parts: list[str]) -> Iterator[BankFile]:
    """Files of all folders, sorted by name within each.

    role: what is wanted, "noise" or "rir"; musan_parts: which of MUSAN's folders count as noise.
    Raises ConfigError for a folder that does not exist or holds nothing of the kind, and DataError
    for an OpenSLR-28 whose list is missing.
    """
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ConfigError(
                f"augment.{role}_dirs: {folder}: no such folder; put {WANTED[role]} there, "
                f"or leave it out with --set 'augment.{role}_dirs=[]'"
            )
        found = 0
        for path, kind in walk(folder, role, musan_parts, kind="folder"):
            name = os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")
            yield BankFile(path=path, name=name, kind=kind)
            found += 1
        if not found:
            raise ConfigError(f"augment.{role}_dirs: {folder} holds no {WANTED[role]}")


def walk(folder: Path, role: Role, musan_parts: list[str], kind: str) -> Iterator[tuple[Path, str]]:
    """(file, kind) of a folder, by the rules of the data set it is."""
    if folder.name == SLR28_REAL:
        for path in listed(folder / f"{role}_list"):
            yield path, "slr28/real" if role == "rir" else "slr28/isotropic"
        return
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda entry: os.fsencode(entry.name))
    entries = [entry for entry in entries if not entry.name.startswith(".")]
    names = {entry.name for entry in entries if entry.is_dir()}
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir():
            if rule := rule_of(entry.name, names, role, musan_parts):
                yield from walk(path, role, musan_parts, kind if rule == "any" else rule)
        elif path.suffix.lower() in SUFFIXES:
            yield path, kind


def rule_of(name: str, names: set[str], role: Role, musan_parts: list[str]) -> str | None:
    """The kind of what a folder holds, judged by the folders beside it; None to leave it out."""
    if names & SLR28_PARTS:
        simulated = "simulated_rirs" if role == "rir" else "pointsource_noises"
        return f"slr28/{name}" if name in (simulated, SLR28_REAL) else None
    if names >= MUSAN_PARTS:
        return f"musan/{name}" if role == "noise" and name in musan_parts else None
    has_noise = any(other.startswith("noise") for other in names)
    if has_noise and any(other.startswith(("clean", "impulse_responses")) for other in names):
        wanted = "noise" if role == "noise" else "impulse_responses"
        return "dns" if name.startswith(wanted) else None
    return "any"


def listed(path: Path) -> list[Path]:
    """Files named by ``rir_list`` or ``noise_list``, whose last word is a path; they lie beside it.

    Raises DataError without the list: names alone do not tell rooms from noises.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing; unpack rirs_noises.zip of OpenSLR-28 again")
    lines = path.read_text(encoding="utf-8").splitlines()
    return sorted(path.parent / Path(line.split()[-1]).name for line in lines if line.strip())


def files_digest(files: list[BankFile]) -> str:
    """Digest of names, sizes and times of change: it differs when any file was replaced."""
    lines = []
    for file in files:
        try:
            stat = file.path.stat()
        except OSError:  # named by a list and missing: a row of dropped.tsv says so later
            lines.append(f"{file.name} missing")
            continue
        lines.append(f"{file.name} {stat.st_size} {stat.st_mtime_ns}")
    return sha256_text("\n".join(lines))
