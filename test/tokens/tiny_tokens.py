"""A set of vowel-like tones in two corpora and three shards, as the data stages leave it."""

import numpy as np

from espnet2.data.audio import content_hash, encode_flac
from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.shards import write_record

LENGTHS = (16000, 5200, 399, 400, 9000, 7777, 720, 12345)
SHARDS = ("a/shards/000.ark", "b/shards/000.ark", "a/shards/001.ark")


def tones(length, seed):
    """(length,) int16: a few steady tones one after the other, in noise."""
    rng = np.random.default_rng(seed)
    pitch = np.repeat(rng.choice([180, 400, 900, 2000, 3500], length // 1600 + 1), 1600)[:length]
    wave = np.sin(2 * np.pi * np.cumsum(pitch) / 16000) + 0.1 * rng.standard_normal(length)
    return (8000 * wave).astype(np.int16)


def make_set(dump, name="train", lengths=LENGTHS, seed=0, shards=SHARDS):
    """``dump/<name>/index.arrow`` over shards, in turn; a length of -n is n of silence."""
    rows, arks = [], {}
    for i, length in enumerate(lengths):
        shard = shards[i % len(shards)]
        if shard not in arks:
            (dump / shard).parent.mkdir(parents=True, exist_ok=True)
            arks[shard] = (dump / shard).open("wb")
        samples = tones(length, seed + i) if length > 0 else np.zeros(-length, np.int16)
        utt_id = f"{name}-{(7 * i) % 10}{i:02d}"  # not in the order of the rows
        record = write_record(arks[shard], utt_id, encode_flac(samples))
        rows.append(
            IndexedUtterance(
                utt_id=utt_id,
                recording=utt_id,
                shard=shard,
                offset=record.offset,
                nbytes=record.nbytes,
                num_samples=len(samples),
                language=("eng", "fra", "deu")[i % 3],
                corpus=shard[0],
                speaker=f"spk{i % 2}",
                content_hash=content_hash(samples),
            )
        )
    for ark in arks.values():
        ark.close()
    rows.sort(key=lambda row: shards.index(row.shard))  # the rows of a shard follow each other
    write_index(dump / name / "index.arrow", table_of(rows))
    return Index.open(dump / name)
