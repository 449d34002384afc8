"""The files of a Kaldi directory as streams: ``id value`` lines, and what is wrong with them.

Every file is UTF-8, one ``id value`` a line with one space between, in the order of the bytes of
the ids. So several files are walked in step, and none is ever held.
"""

import functools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from espnet2.data.external_sort import sorted_lines
from espnet2.utils.errors import DataError

BLOCK_BYTES = 1 << 18
MAX_SHOWN = 1000  # problems of one kind in one file; the rest are counted
OUT_OF_ORDER = "{} is out of order; sort with LC_ALL=C sort"
MAX_ID_BYTES = 200  # of a file name's 255, endings included
# Control characters, byte order marks, and what Unicode or Python takes for a space or a line end.
_ODD = "\0-\x08\x0b-\x1f\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f]")
_ODD_SPACE = re.compile(f"[{_ODD}]")
_NO_TEXT = re.compile(f"[\t{_ODD}]")
_NO_TEXT_BYTES = bytes([*range(10), *range(11, 32), 127])


class Entry(NamedTuple):
    """One line of a file."""

    key: str
    value: str
    line: int


class Problems:
    """What is wrong with a directory; ``strict`` raises DataError for the first problem."""

    def __init__(self, strict: bool = False):
        self.strict = strict
        self._found: dict[tuple[Path, str], list[tuple[int, str]]] = {}
        self._counts: dict[tuple[Path, str], int] = {}

    def add(self, path: Path, line: int | None, template: str, *values: object) -> None:
        """Note a problem of a line; None: of the file. Equal templates are problems of a kind."""
        kind, count = (path, template), self._counts.get((path, template), 0)
        self._counts[kind] = count + 1
        if count >= MAX_SHOWN:
            return
        where = f"{path}:{line}" if line else str(path)
        message = f"{where}: {template.format(*values)}"
        if self.strict:
            raise DataError(message)
        self._found.setdefault(kind, []).append((line or 2**62, message))

    def __len__(self) -> int:
        return sum(self._counts.values())

    def has(self, path: Path, template: str) -> bool:
        """Whether a file has problems of a kind."""
        return (path, template) in self._counts

    def messages(self) -> list[str]:
        """All problems, file by file in the order of lines; very many of a kind are counted."""
        files = list(dict.fromkeys(path for path, _ in self._found))
        rows = [
            (files.index(kind[0]), line, number, message)
            for kind, found in self._found.items()
            for number, (line, message) in enumerate(found)
        ]
        for number, (kind, count) in enumerate(self._counts.items()):
            if count > MAX_SHOWN:
                more = f"{kind[0]}: and {count - MAX_SHOWN:,} more like: {self._found[kind][-1][1]}"
                rows.append((files.index(kind[0]), 2**63, number, more))
        return [row[-1] for row in sorted(rows)]


def entries(path: Path, problems: Problems | None = None) -> Iterator[Entry]:
    """The lines of a file, noting each that is malformed; what can be understood is yielded.

    Raises OSError when the file cannot be read.
    """
    number, rest = 0, b""
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            whole, newline, rest = (rest + block).rpartition(b"\n")
            if newline:
                yield from _block_entries(path, whole, number, problems)
                number += whole.count(b"\n") + 1
    if rest:
        if problems is not None:
            problems.add(path, number + 1, "no newline at the end of the file")
        yield from _block_entries(path, rest, number, problems)


def _block_entries(
    path: Path, block: bytes, before: int, problems: Problems | None
) -> Iterator[Entry]:
    """Lines of a block after ``before`` others, each looked at only if a search finds a cause."""
    problems = Problems() if problems is None else problems
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    if text is None or not _is_clean(block, text):
        for number, raw in enumerate(block.split(b"\n"), before + 1):
            yield from _careful_entry(path, raw, number, problems)
        return
    for number, line in enumerate(text.split("\n"), before + 1):
        key, _, value = line.partition(" ")
        if value:
            yield Entry(key, value, number)
        else:
            yield from _careful_entry(path, line.encode(), number, problems)


def _is_clean(block: bytes, text: str) -> bool:
    """Whether no line breaks a rule, missing values aside: a few fast searches of the block."""
    framed = b"\n%b\n" % block
    if any(wrong in framed for wrong in (b"  ", b"\n ", b" \n")):
        return False
    if block.isascii():
        return len(block.translate(None, _NO_TEXT_BYTES)) == len(block)
    return _NO_TEXT.search(text) is None


def _careful_entry(path: Path, raw: bytes, number: int, problems: Problems) -> Iterator[Entry]:
    """The entry of one line, after every rule about a line on its own."""
    note = functools.partial(problems.add, path, number)
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError:
        note("not UTF-8; convert with iconv -t UTF-8")
        return
    if number == 1 and line.startswith("\ufeff"):
        note("byte order mark at the start of the file; save it as UTF-8 without one")
        line = line[1:]
    if line.endswith("\r"):
        note("Windows line ending (CRLF); convert with dos2unix")
        line = line[:-1]
    if not line.strip(" \t"):
        note("empty line")
        return
    if "\t" in line:
        note("a tab; fields are separated by one space")
        line = line.replace("\t", " ")
    if line.startswith(" "):
        note("begins with a space")
    key, space, value = line.lstrip(" ").partition(" ")
    control = _CONTROL.search(line)
    if control:
        note("control character U+{:04X}", ord(control[0]))
    elif _ODD_SPACE.search(key):
        note("{}: the id holds U+{:04X}, which many programs take for a space", key,
             ord(_ODD_SPACE.search(key)[0]))  # fmt: skip
    if not value.strip(" "):
        note("{} has only spaces for a value" if value else "{} has no value", key)
    elif value.startswith(" "):
        note("{}: more than one space after the id", key)
    elif value.endswith(" "):
        note("{}: space at the end of the line", key)
    yield Entry(key, value.strip(" "), number)


def id_problem(key: str) -> str | None:
    """Why a well-formed id cannot name a file; None if it can."""
    if "/" in key:
        return "holds a slash, so it cannot name a file"
    if len(key) > MAX_ID_BYTES // 4 and len(key.encode()) > MAX_ID_BYTES:
        return f"is longer than {MAX_ID_BYTES} bytes, too long for a file name"
    return "is no name for a file" if key in (".", "..") else None


def in_order(path: Path, stream: Iterator[Entry], problems: Problems) -> Iterator[Entry]:
    """The entries of a stream, noting each that stands before its predecessor in C order."""
    previous = ""
    for entry in stream:
        if entry.key < previous:
            problems.add(path, entry.line, OUT_OF_ORDER, entry.key)
        previous = entry.key
        yield entry


def without_repeats(path: Path, stream: Iterator[Entry], problems: Problems) -> Iterator[Entry]:
    """The entries of a sorted stream, each id once; the first line counts."""
    first = Entry("", "", 0)
    for entry in stream:
        if entry.key == first.key:
            problems.add(
                path, entry.line, "{} appears twice; first on line {}", entry.key, first.line
            )
            continue
        first = entry
        yield entry


def checked_entries(path: Path, problems: Problems) -> Iterator[Entry]:
    """The entries of a file, noting all that is wrong with its lines, their order and ids."""
    return without_repeats(path, in_order(path, entries(path, problems), problems), problems)


def sorted_entries(path: Path) -> Iterator[Entry]:
    """The entries of a file that is not in order, sorted; those of one id by line."""
    lines = (f"{key} {number:012d} {value}" for key, value, number in entries(path))
    for line in sorted_lines(lines):
        key, number, value = line.split(" ", 2)
        yield Entry(key, value, int(number))


def joined(
    owner_path: Path, owner: Iterator[Entry], paths: Sequence[Path],
    streams: Sequence[Iterator[Entry]], problems: Problems,
) -> Iterator[tuple[Entry, list[Entry | None]]]:  # fmt: skip
    """Each entry of ``owner`` with the entry of the same id in every other sorted stream.

    Notes ids that only one of two files has.
    """
    heads = [next(stream, None) for stream in streams]
    for entry in owner:
        row: list[Entry | None] = []
        for i, head in enumerate(heads):
            while head is not None and head.key < entry.key:
                _no_owner(paths[i], head, owner_path, problems)
                head = next(streams[i], None)
            if head is not None and head.key == entry.key:
                row.append(head)
                head = next(streams[i], None)
            else:
                row.append(None)
                problems.add(paths[i], None, "no line for {} of {}:{}", entry.key,
                             owner_path.name, entry.line)  # fmt: skip
            heads[i] = head
        yield entry, row
    for path, head, stream in zip(paths, heads, streams, strict=True):
        while head is not None:
            _no_owner(path, head, owner_path, problems)
            head = next(stream, None)


def _no_owner(path: Path, entry: Entry, owner_path: Path, problems: Problems) -> None:
    problems.add(path, entry.line, "{} is not in {}", entry.key, owner_path.name)


class SortedTable:
    """Looks up ids in a sorted file by bisection of its bytes; holds nothing but the last line."""

    def __init__(self, path: Path):
        self._file = path.open("rb")
        self._size = os.fstat(self._file.fileno()).st_size
        self._key, self._value = b"", b""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def value(self, key: str) -> str | None:
        """The value of an id; None if the file has no such line."""
        wanted = key.encode()
        # The same line again, or the next one: segments mostly come in order of the recordings.
        if wanted != self._key and not self._reads(wanted):
            self._file.seek(self._start_of(wanted))
            if not self._reads(wanted):
                return None
        return self._value.decode()

    def _reads(self, wanted: bytes) -> bool:
        """Read one line; whether it is the wanted one."""
        self._key, _, self._value = self._file.readline().rstrip(b"\n").partition(b" ")
        return self._key == wanted

    def _start_of(self, wanted: bytes) -> int:
        """Where the first line whose id is not smaller than ``wanted`` begins."""
        low, high = 0, self._size  # lines that start before low are smaller, from high on not
        while low < high:
            middle = (low + high) // 2
            if middle > low:
                self._file.seek(middle - 1)
                self._file.readline()
            else:
                self._file.seek(low)
            start = self._file.tell()
            if start >= high:  # no line starts between
                high = middle
            elif self._file.readline().rstrip(b"\n").partition(b" ")[0] < wanted:
                low = self._file.tell()
            else:
                high = start
        return low
