"""Small corpora on disk, and what stage 1 makes of them."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from espnet2.data.corpora.config import load_corpus
from espnet2.data.corpora.disk import Job, prepare
from espnet2.data.kaldi import check_kaldi, read_kaldi
from espnet2.utils.config import to_dict

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_tone(path, seconds=1.0, channels=1, rate_hz=16000):
    """A file of a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate_hz)) / rate_hz)
    soundfile.write(path, np.stack([tone] * channels, axis=1), rate_hz)
    return path


def write_parquet(path, rows, **columns):
    """A file in Hugging Face's layout: ``rows`` of audio bytes, other columns beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = pa.array([{"bytes": row, "path": None} for row in rows], AUDIO)
    pq.write_table(pa.table({**columns, "audio": audio}), path)
    return path


def prepared(name, entry, data, allow_pipes=False):
    """Prepare one corpus as stage 1 does; returns its utterances, drops and ``corpus.json``."""
    spec = to_dict(load_corpus(name, entry, {}, Path("downloads")))
    prepare(Job(corpus=name, spec=spec, data=data, allow_pipes=allow_pipes))
    folder = data / name
    assert check_kaldi(folder, allow_pipes) == []
    with open(folder / "dropped.tsv", encoding="utf-8", newline="") as file:
        dropped = [tuple(row) for row in csv.reader(file, delimiter="\t")][1:]
    assert not [path.name for path in data.rglob(".*") if path.name != ".corpora"]
    return (
        read_kaldi(folder, allow_pipes),
        dropped,
        json.loads((folder / "corpus.json").read_text()),
    )
