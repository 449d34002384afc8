import time

import pytest

from espnet2.bin.format_data import total
from espnet2.data import duplicates
from espnet2.data.config import FormatConfig
from espnet2.data.format.merge import Pieces, merge_corpus
from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.index import writer as index_writer
from espnet2.data.tsv import Dropped, read_dropped, write_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_json

SHARDS = {"000": "a b c", "001": "d e", "002": "", "003": "f g h i"}
AUDIO = {"c": 1, "e": 1, "d": 2, "f": 2, "i": 2}  # equal numbers are equal audio


def formatted(out, dropped=("bb", "z")):
    """What stage 2 leaves of four shards, without the audio; returns their manifests."""
    manifests = []
    for number, (shard, ids) in enumerate(SHARDS.items()):
        base = out / "shards" / shard
        rows = [
            IndexedUtterance(
                utt_id=utt_id, recording="r", shard=f"{out.name}/shards/{shard}.ark", offset=100,
                nbytes=50, num_samples=16000, language=("eng", "fra")[number % 2], corpus=out.name,
                speaker="s", content_hash=f"{AUDIO.get(utt_id, 100 + ord(utt_id)):016x}",
            )
            for utt_id in ids.split()
        ]  # fmt: skip
        write_index(base.with_suffix(".arrow"), table_of(rows))
        lost = [d for d in dropped if ids and d[0] in ids]
        write_dropped(
            base.with_suffix(".dropped.tsv"),
            [Dropped(utt_id=d, reason="silent", detail="-inf dBFS") for d in lost],
        )
        about = {"utterances_in": len(rows) + len(lost), "hours_in": 1.0, "hours_no_speech": 0.25}
        write_json(base.with_suffix(".summary.json"), about)
        manifests.append(base.with_suffix(".tsv"))
    return manifests


@pytest.mark.parametrize(("part_rows", "rows_per_batch"), [(1, 1), (3, 2), (2**21, 2**18)])
def test_shards_become_one_index_and_the_first_of_equal_audio_stays(
    tmp_path, monkeypatch, part_rows, rows_per_batch
):
    monkeypatch.setattr(duplicates, "PART_ROWS", part_rows)
    monkeypatch.setattr(index_writer, "ROWS_PER_BATCH", rows_per_batch)
    out = tmp_path / "dump/c"
    result = merge_corpus(out, formatted(out), FormatConfig(max_drop_ratio=0.5))
    index = Index.open(out)
    assert list(index.utt_ids) == ["a", "b", "c", "d", "g", "h"]
    assert list(index.languages) == ["eng", "eng", "eng", "fra", "fra", "fra"]
    assert [(s.name[-7:], len(s.rows)) for s in index.each_shard()] == [
        ("000.ark", 3), ("001.ark", 1), ("003.ark", 2)
    ]  # fmt: skip
    assert [(d.utt_id, d.detail) for d in read_dropped(out / "dropped.tsv")] == [
        ("bb", "-inf dBFS"),
        ("e", "same audio as c"),
        ("f", "same audio as d"),
        ("i", "same audio as d"),
    ]
    scp = (out / "wav.scp").read_text().splitlines()
    assert scp[0] == f"a {tmp_path}/dump/c/shards/000.ark:93"  # AUDIO and its size before the FLAC
    assert len(scp) == 6
    assert result["utterances_in"] == 10
    assert result["dropped"] == {"silent": 1, "duplicate": 3}
    assert sorted(path.name for path in out.iterdir()) == [
        "dropped.tsv", "index.arrow", "index.json", "shards", "wav.scp"
    ]  # fmt: skip
    assert total([result]).endswith("; 1.00 h without speech left out")


def test_an_utterance_is_found_as_fast_among_very_many_shards(tmp_path):
    pieces = Pieces(formatted(tmp_path / "dump/c"))
    assert [pieces.utt_id(row) for row in range(9)] == list("abcdefghi")  # one shard is empty
    pieces.starts = list(range(200_000))
    pieces.utt_ids = lambda number: [f"of shard {number}"]
    began = time.process_time()
    assert [pieces.utt_id(row) for row in range(2000)] == [f"of shard {n}" for n in range(2000)]
    assert time.process_time() - began < 2  # copying the starts each time takes 20 s


def test_too_heavy_a_loss_is_refused_after_dropped_tsv_is_written(tmp_path):
    out = tmp_path / "dump/c"
    message = r"4 of 10 utterances dropped \(duplicate 3, silent 1\), more than max_drop_ratio 0.3"
    with pytest.raises(DataError, match=message):
        merge_corpus(out, formatted(out), FormatConfig(max_drop_ratio=0.3))
    assert len(read_dropped(out / "dropped.tsv")) == 4
    assert sorted(path.name for path in out.iterdir()) == ["dropped.tsv", "shards"]
