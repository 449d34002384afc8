"""Write Kaldi data directories, as streams: what comes in C order is never held."""

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from espnet2.data.external_sort import sorted_lines
from espnet2.data.kaldi.rows import Utterance
from espnet2.data.kaldi.tables import entries, id_problem
from espnet2.data.languages import language_problem
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path, write_text

_BAD_IN_ID = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ufeff]")
_BAD_IN_VALUE = re.compile(r"[\x00-\x1f\x7f-\x9f]|^ | \Z|^\Z")


class _NotWanted(Exception):
    """A table turned out to be of no use."""


class TableWriter:
    """One ``id value`` file under way; sorted at the end if its lines did not come in order."""

    def __init__(self, part: Path, file: TextIO, name: str, may_repeat: bool = False):
        """``file`` is ``part``, open; may_repeat: equal lines are one (a recording is cut)."""
        self.part, self._file, self.name, self.may_repeat = part, file, name, may_repeat
        self.rows, self.is_wanted = 0, True
        self._last, self._is_sorted = ("", ""), True

    def add(self, key: str, value: str) -> None:
        """Append a line. Raises DataError for what would not come back as it is."""
        bad = _BAD_IN_ID.search(key)
        problem = f"holds U+{ord(bad[0]):04X}" if bad else id_problem(key)
        if problem or not key:
            raise DataError(f"{self.name}: the id '{key}' {problem or 'is empty'}; change it")
        if _BAD_IN_VALUE.search(value):
            raise DataError(
                f"{self.name}: {key}: {value!r} cannot be written: it is empty, has a space at an "
                "end or holds a control character (tab, line break)"
            )
        if self.may_repeat and (key, value) == self._last:
            return
        self._is_sorted &= key > self._last[0]
        self._last = key, value
        self._file.write(f"{key} {value}\n")
        self.rows += 1

    def finish(self) -> None:
        """Close the file, sorted. Raises DataError for an id that is given twice."""
        self._file.close()
        if self._is_sorted:
            return
        lines = sorted_lines(f"{entry.key} {entry.value}" for entry in entries(self.part))
        with atomic_path(self.part) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            last_key, last_line = "", ""
            for line in lines:
                if line == last_line and self.may_repeat:
                    continue
                key = line.partition(" ")[0]
                if key == last_key:
                    raise DataError(f"{self.name}: {key} is given twice; ids must differ")
                file.write(line + "\n")
                last_key, last_line = key, line


@contextlib.contextmanager
def table_writers(folder: Path, names: Iterable[str]) -> Iterator[dict[str, TableWriter]]:
    """A writer for each file of ``folder``, ``spk2utt`` made of ``utt2spk``.

    Nothing appears before all are complete, ``wav.scp`` last of all; a file without a line, or
    whose writer is marked as not wanted, is removed.
    """
    with contextlib.ExitStack() as stack:  # renames in reverse order
        order = sorted(names, key=lambda name: name != "wav.scp")
        writers = {name: stack.enter_context(_writer(Path(folder) / name)) for name in order}
        yield writers
        for writer in writers.values():
            writer.finish()
        if "utt2spk" in writers:
            part = stack.enter_context(atomic_path(Path(folder) / "spk2utt"))
            write_spk2utt(writers["utt2spk"].part, part)


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[TableWriter]:
    """A writer whose file becomes ``path`` if it is wanted; ``path`` is removed if not."""
    with contextlib.suppress(_NotWanted), atomic_path(path) as part:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            writer = TableWriter(part, file, str(path), may_repeat=path.name == "wav.scp")
            yield writer
        if not (writer.is_wanted and writer.rows):
            path.unlink(missing_ok=True)
            raise _NotWanted


def write_spk2utt(utt2spk: Path, spk2utt: Path) -> None:
    """The utterances of each speaker; both in C order."""
    pairs = sorted_lines(f"{entry.value} {entry.key}" for entry in entries(utt2spk))
    with spk2utt.open("w", encoding="utf-8", newline="\n") as file:
        last = None
        for pair in pairs:
            speaker, utt_id = pair.split(" ")
            if speaker != last:
                file.write(f"\n{speaker}" if last else speaker)
            file.write(f" {utt_id}")
            last = speaker
        file.write("\n" if last else "")


def write_kaldi(folder: Path, utterances: Iterable[Utterance]) -> None:
    """Write a directory that ``read_kaldi`` reads back as the same utterances, in C order.

    An iterator in C order is written as it comes; anything else is sorted on disk. ``segments`` is
    written where an utterance is a part of a recording or has another name, ``text`` where there
    is text, ``utt2dur`` where every duration is known.

    Raises:
        DataError: an id that is given twice or cannot be one, a value that would not come back as
            it is, two sources of one recording, an unknown language, text of some but not all.
    """
    names = ("wav.scp", "segments", "text", "utt2spk", "utt2lang", "utt2dur")
    with table_writers(folder, names) as tables:
        count, is_cut = 0, False
        for u in utterances:
            count += 1
            is_cut |= u.recording != u.utt_id or bool(u.start_s) or u.end_s is not None
            _add(tables, u)
        tables["segments"].is_wanted = is_cut
        tables["utt2dur"].is_wanted = tables["utt2dur"].rows == count
        if tables["text"].rows not in (0, count):
            raise DataError(
                f"{folder}: {tables['text'].rows} of {count} utterances have text; give all of "
                "them text, or none (two directories)"
            )


def _add(tables: dict[str, TableWriter], u: Utterance) -> None:
    """One utterance's lines."""
    problem = language_problem(u.language)
    if problem or not u.speaker or _BAD_IN_ID.search(u.speaker):
        raise DataError(f"{u.utt_id}: {problem or f'speaker {u.speaker!r} is no single word'}")
    tables["wav.scp"].add(u.recording, u.source)
    tables["segments"].add(u.utt_id, segment_line(u))
    tables["utt2spk"].add(u.utt_id, u.speaker)
    tables["utt2lang"].add(u.utt_id, u.language)
    if u.text is not None:
        tables["text"].add(u.utt_id, u.text)
    if u.duration_s is not None:
        if not 0 < u.duration_s < float("inf"):
            raise DataError(f"{u.utt_id}: duration must be above 0 s, got {u.duration_s:g}")
        tables["utt2dur"].add(u.utt_id, repr(float(u.duration_s)))


def segment_line(utterance: Utterance) -> str:
    """``recording start end``; -1 stands for the end of the recording."""
    end = -1 if utterance.end_s is None else repr(float(utterance.end_s))
    return f"{utterance.recording} {float(utterance.start_s)!r} {end}"


def write_table(path: Path, table: dict[str, str]) -> None:
    """Write a small ``id value`` file in C order, atomically."""
    write_text(path, "".join(f"{key} {table[key]}\n" for key in sorted(table)))
