"""A Kaldi directory under check: its files as sorted streams, what is wrong, what is noted."""

from collections.abc import Iterator
from pathlib import Path

from espnet2.data.kaldi.tables import (
    OUT_OF_ORDER,
    Entry,
    Problems,
    entries,
    in_order,
    sorted_entries,
    without_repeats,
)

TOLERANCE_S = 0.1  # between two statements of one length: frames and roundings


class Notes:
    """What is worth knowing but not wrong: how often, and where first."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str | None]] = {}

    def add(self, what: str, example: str | None = None) -> None:
        """Count one case of ``what``; without an example it is said of the whole directory."""
        count, first = self._found.get(what, (0, example))
        self._found[what] = count + 1, first

    def messages(self) -> list[str]:
        """One line a kind: ``what: count, first example``."""
        return [
            f"{what}: {count:,}, first {first}" if first else what
            for what, (count, first) in self._found.items()
        ]


class Folder:
    """The files of a directory, each read once for its own rules and then given out sorted."""

    def __init__(self, path: Path):
        self.path, self.problems, self.notes = Path(path), Problems(), Notes()
        self._paths: dict[str, Path] = {}
        self._is_sorted: dict[str, bool] = {}
        self._given: set[str] = set()

    def file(self, name: str) -> Path:
        """Path of one of its files."""
        if name not in self._paths:  # joining paths is slow
            self._paths[name] = self.path / name
        return self._paths[name]

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return self.file(name).is_file()

    def scan(self, name: str) -> None:
        """Note what is wrong with the lines of a file and with their order."""
        path = self.file(name)
        for _ in in_order(path, entries(path, self.problems), self.problems):
            pass
        self._is_sorted[name] = not self.problems.has(path, OUT_OF_ORDER)

    def stream(self, name: str) -> Iterator[Entry]:
        """The entries of a scanned file in order, each id once. Repeated ids are noted once."""
        path = self.file(name)
        problems = Problems() if name in self._given else self.problems
        self._given.add(name)
        stream = entries(path) if self._is_sorted[name] else sorted_entries(path)
        return without_repeats(path, stream, problems)

    def compare(self, name: str, entry: Entry, seconds: float, known: float, source: str) -> None:
        """Note a length that is not what ``source`` says."""
        if abs(seconds - known) > TOLERANCE_S:
            template = "{}: {:g} s, but {} says {:g} s"
            self.problems.add(
                self.file(name), entry.line, template, entry.key, seconds, source, known
            )
