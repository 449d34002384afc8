"""A tiny ML-SUPERB 2.0 and tiny Kaldi directories, with the speech of the tiny ML-SUPERB."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from espnet2.data.corpora.superb_tiny import TinyLine, tiny_line
from espnet2.data.superb_languages import RESERVED_LANGUAGES
from espnet2.utils.files import atomic_path, write_bytes, write_text

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
RELEASE = {"train": 24, "dev": 6, "dev_dialect": 4}  # utterances of a language
KALDI = {"train": 16, "dev": 4, "test": 4}
FEW = 5
ROWS = 16  # of a row group


def write_tiny_parquet(root: Path, languages: Sequence[str], seed: int = 0) -> None:
    """``root/data/<split>-00000-of-00001.parquet`` with id, text, language and audio.

    Texts begin with ``[iso]``, as in the release; a reserved language has five training rows.
    """
    for split, count in RELEASE.items():
        lines = [
            (language, tiny_line(f"fleurs_{language}_{split}_{number:06d}", language, seed))
            for language in languages
            for number in range(
                FEW if split == "train" and language in RESERVED_LANGUAGES else count
            )
        ]
        write_parquet(root / "data" / f"{split}-00000-of-00001.parquet", lines)


def write_parquet(path: Path, lines: Sequence[tuple[str, TinyLine]]) -> None:
    """One file of (language, line)."""
    table = pa.table(
        {
            "id": [line.utt_id for _, line in lines],
            "text": [f"[{language}] {line.words}" for language, line in lines],
            "language": [language for language, _ in lines],
            "audio": pa.array(
                [{"bytes": x.wav, "path": f"{x.utt_id}.wav"} for _, x in lines], AUDIO
            ),
        }
    )
    with atomic_path(path) as part:
        pq.write_table(table, part, row_group_size=ROWS)


def write_tiny_kaldi(
    root: Path, languages: Sequence[str], seed: int = 0, splits: dict[str, int] | None = None
) -> None:
    """``root/<split>/{wav.scp,text,utt2lang}``; splits: how many utterances of a language each."""
    for split, count in (splits or KALDI).items():
        lines = [
            (language, tiny_line(f"own_{language}_{split}_{number:06d}", language, seed))
            for language in languages
            for number in range(count)
        ]
        for _, line in lines:
            write_bytes(root / "wav" / f"{line.utt_id}.wav", line.wav, durable=False)
        tables = {
            "wav.scp": {x.utt_id: str(root / "wav" / f"{x.utt_id}.wav") for _, x in lines},
            "text": {x.utt_id: x.words for _, x in lines},
            "utt2lang": {x.utt_id: language for language, x in lines},
        }
        for name, table in tables.items():
            rows = "".join(f"{utt_id} {table[utt_id]}\n" for utt_id in sorted(table))
            write_text(root / split / name, rows, durable=False)
