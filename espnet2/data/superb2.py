"""ML-SUPERB 2.0 as Hugging Face has it: Parquet files of id, text, language and audio.

Splits are train, dev and dev_dialect (``espnet/ml_superb_hf``); the challenge's test is not public.
Here its dev is the test, its dev_dialect the test of varieties, and a share of train the dev.
Nothing is copied: wav.scp points at rows of the files.
Source: arXiv 2509.07139 and ESPnet's recipe ml_superb2 (codes of languages).
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from espnet2.data.corpora.listing import files_below
from espnet2.data.corpora.splits import fraction
from espnet2.data.parquet import audio_column, open_parquet
from espnet2.data.superb import DIALECTS, SuperbDataConfig
from espnet2.data.superb_rows import Dropped, SuperbRow, checked
from espnet2.utils.config import guess
from espnet2.utils.errors import DataError

SPLIT_OF = {"train": "train", "dev": "test", "dev_dialect": DIALECTS}
COLUMNS = ("id", "text", "language")
ROWS = 8192  # of the small columns, read at once
# Codes of the release that the challenge scores under another name.
EXPECTED = {"org_jpn": "jpn", "lga": "lug", "ory": "ori", "arb": "ara"}
NORWEGIAN = ("nno", "nob", "nor")  # left out of the challenge, but for its dialects
IN_IDS = re.compile(r"ms_speech_([a-z]{3})_")  # varieties whose language the id tells
TAG = re.compile(r"^\[[^\]]*\]\s*")
NAME = re.compile(r"(?P<split>[a-z_]+?)(?:-\d+-of-\d+(?:-[0-9a-f]+)?)?\.parquet$")
PREFIX = re.compile(r"^(.+?)_[a-z]{3}_")


def parquet_files(root: Path) -> dict[Path, str]:
    """The files of the release below ``root`` with their split, in C order.

    ``train-00000-of-00026.parquet`` or ``train.parquet`` belong to train, and so does any file in
    a folder of that name.

    Raises:
        DataError: no such files, or a split without one.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give the one with ML-SUPERB 2.0's Parquet files")
    found = {}
    for entry in files_below(root):
        path = Path(entry.path)
        match = NAME.fullmatch(path.name)
        named = (match["split"] if match else "", path.parent.name)
        split = next((name for name in named if name in SPLIT_OF), None)
        if path.suffix == ".parquet" and split:
            found[path] = split
    for split in SPLIT_OF:
        if split not in found.values():
            raise DataError(
                f"{root} holds no {split}-*.parquet; ML-SUPERB 2.0 has {', '.join(SPLIT_OF)}"
            )
    return dict(sorted(found.items()))


def splits_of(split: str) -> tuple[str, ...]:
    """Our splits that the release's split becomes."""
    return ("train", "dev") if split == "train" else (SPLIT_OF[split],)


def file_rows(
    path: Path, split: str, config: SuperbDataConfig
) -> tuple[dict[str, list[SuperbRow]], list[tuple[str, Dropped]]]:
    """The utterances of one file by our split, in its order, and (our split, what was left out).

    Args:
        split: of the release.

    Raises:
        DataError: the file is damaged, or a column is missing.
    """
    rows: dict[str, list[SuperbRow]] = {}
    dropped: list[tuple[str, Dropped]] = []
    for number, cells in enumerate(small_rows(path)):
        source = f"{path}:{number}"
        row = row_of(cells, source, split, config)
        target = SPLIT_OF[split]
        if isinstance(row, SuperbRow) and target == "train" and validates(row, config):
            target = "dev"
        if isinstance(row, SuperbRow):
            row = checked(row, config.max_train_s if target in ("train", "dev") else None)
        if isinstance(row, Dropped):
            dropped.append((target, row))
        else:
            rows.setdefault(target, []).append(row)
    return rows, dropped


def small_rows(path: Path) -> Iterator[dict[str, str | None]]:
    """id, text and language of each row, without touching the audio."""
    with open_parquet(path) as file:
        names = file.schema_arrow.names
        for name in COLUMNS:
            if name not in names:
                raise DataError(
                    f"{path}: no column {name}{guess(name, names)}; its columns are "
                    f"{', '.join(names)}, and ML-SUPERB 2.0 has {', '.join(COLUMNS)}, audio"
                )
        audio_column(path, file.schema_arrow)
        yield from batches(file)


def batches(file: pq.ParquetFile) -> Iterator[dict[str, str | None]]:
    """The small columns, row by row."""
    for batch in file.iter_batches(ROWS, columns=list(COLUMNS)):
        yield from batch.to_pylist()


def row_of(
    cells: dict[str, str | None], source: str, split: str, config: SuperbDataConfig
) -> SuperbRow | Dropped:
    """One row, its language as the challenge expects it, its text without the tag in front.

    The challenge normalises when it scores; only case is settled here, so that no text looks like
    a language tag.
    """
    utt_id = str(cells["id"] or "").strip()
    if not utt_id:
        return Dropped(utt_id=source, reason="no id", detail=source)
    language = str(cells["language"] or "").strip()
    told = IN_IDS.match(utt_id) if split == "dev_dialect" else None
    language = told[1] if told else EXPECTED.get(language, language)
    if not language:
        return Dropped(utt_id=utt_id, reason="no language", detail=source)
    if split != "dev_dialect" and language in NORWEGIAN:
        return Dropped(utt_id=utt_id, reason="not in the challenge", detail=language)
    if config.languages and language not in config.languages:
        return Dropped(utt_id=utt_id, reason="language not chosen", detail=language)
    prefix = PREFIX.match(utt_id)
    return SuperbRow(
        utt_id=utt_id, wav=source, language=language, duration_s=0.0, recording=utt_id,
        corpus=prefix[1] if prefix else "ml_superb2",
        text=" ".join(TAG.sub("", str(cells["text"] or "").strip()).upper().split()),
    )  # fmt: skip


def validates(row: SuperbRow, config: SuperbDataConfig) -> bool:
    """Whether a training utterance picks the model; a function of its id alone."""
    return row.language not in config.reserved and fraction(0, row.utt_id) < config.dev_share
