"""Kind ``hf_parquet``: a folder of Parquet files as Hugging Face stores data sets.

Only the small columns are read; the audio stays where it is, under ``file.parquet:row``.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from espnet2.data.corpora.corpus_folder import Drops
from espnet2.data.corpora.kinds import HfParquet
from espnet2.data.corpora.language_codes import Languages
from espnet2.data.corpora.listing import files_below
from espnet2.data.kaldi import Utterance
from espnet2.data.parquet import audio_column, open_parquet
from espnet2.utils.config import guess
from espnet2.utils.errors import DataError
from espnet2.utils.logs import log

ROWS = 8192  # read at once
USUAL = {
    "id": ("id", "utt_id", "utterance_id", "audio_id", "segment_id", "segment", "file_name"),
    "language": ("iso3", "iso639_3", "language", "lang", "language_code", "locale"),
    "speaker": ("speaker_id", "speaker", "spk_id", "client_id"),
    "text": ("text", "sentence", "transcription", "transcript", "raw_transcription"),
}
_NOT_TRAINING = re.compile(r"(^|[/._-])(test|dev|validation|valid|eval)([/._-]|$)", re.IGNORECASE)


def utterances(spec: HfParquet, languages: Languages, drops: Drops) -> Iterator[Utterance]:
    """Every row of every file.

    Raises:
        DataError: no file, a file that is not Parquet, or a column that is missing.
    """
    for path in training_files(spec):
        with open_parquet(path) as file:
            audio_column(path, file.schema_arrow)
            columns = find_columns(path, spec, file.schema_arrow.names)
            if not file.metadata.num_rows:
                drops.add(path.stem, "empty file", f"{path}: no rows")
            yield from rows(path, file, columns, languages, drops)


def training_files(spec: HfParquet) -> list[Path]:
    """The Parquet files to read, in C order; a folder of them is a few thousand at most."""
    found = [Path(e.path) for e in files_below(spec.path) if e.name.endswith(".parquet")]
    if spec.files:
        chosen = [p for p in found if any(p.relative_to(spec.path).match(x) for x in spec.files)]
    else:
        names = [path.relative_to(spec.path).as_posix() for path in found]
        pairs = zip(found, names, strict=True)
        chosen = [path for path, inside in pairs if not _NOT_TRAINING.search(inside)]
        if len(chosen) < len(found):
            log(f"{spec.path}: {len(found) - len(chosen)} files of other splits are left out")
    if not chosen:
        raise DataError(
            f"{spec.path}: {len(found)} *.parquet files, none of them to be read; "
            f"name those of the training split with files: [pattern]"
        )
    return chosen


def find_columns(path: Path, spec: HfParquet, names: list[str]) -> dict[str, str]:
    """Purpose -> column: those that are given, and those with a usual name."""
    columns = {}
    for purpose, usual in USUAL.items():
        given = getattr(spec, f"{purpose}_column")
        if given is not None and given not in names:
            raise DataError(
                f"{path}: no column {given} ({purpose}_column){guess(given, names)}; "
                f"its columns are {', '.join(names)}"
            )
        column = given or next((name for name in usual if name in names), None)
        if column:
            columns[purpose] = column
    if spec.language is not None:
        columns.pop("language", None)
    elif "language" not in columns:
        raise DataError(
            f"{path}: no column of languages among {', '.join(names)}; "
            f"give language_column, or language for the whole corpus (und if it is not known)"
        )
    return columns


def rows(
    path: Path, file: pq.ParquetFile, columns: dict[str, str], languages: Languages, drops: Drops
) -> Iterator[Utterance]:
    """The rows of one file; a row without a language is dropped."""
    row = 0
    for cells in small_columns(file, columns):
        default = f"{path.stem}-{row:06d}"
        utt_id = default if cells.get("id") is None else str(cells["id"]).strip() or default
        row += 1
        raw = cells.get("language", "")
        if raw is None or ("language" in columns and not str(raw).strip()):
            drops.add(utt_id, "no language", f"{path}:{row - 1}: {columns['language']} is null")
            continue
        given = cells.get("speaker")
        speaker = "" if given is None else str(given).strip()  # 0 is a speaker
        text = " ".join(str(cells.get("text") or "").split())
        yield Utterance(
            utt_id=utt_id, recording=utt_id, source=f"{path}:{row - 1}",
            language=languages.of(str(raw).strip()), text=text or None,
            speaker=speaker or utt_id,
        )  # fmt: skip


def small_columns(file: pq.ParquetFile, columns: dict[str, str]) -> Iterator[dict[str, object]]:
    """Purpose -> cell of each row, without touching the audio."""
    if not columns:
        yield from ({} for _ in range(file.metadata.num_rows))
        return
    for batch in file.iter_batches(ROWS, columns=sorted(set(columns.values()))):
        cells = {purpose: batch.column(name).to_pylist() for purpose, name in columns.items()}
        for i in range(batch.num_rows):
            yield {purpose: values[i] for purpose, values in cells.items()}
