import json
from argparse import Namespace

import numpy as np
import pytest
from tiny_tokens import make_set

from espnet2.bin import label
from espnet2.bin.label import shard_units
from espnet2.data.index import Index, write_index
from espnet2.data.labels import LabelStore, labels_file
from espnet2.tokens.assign import label_shard
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.finish import finish_labels
from espnet2.tokens.kmeans import fit_codebook
from espnet2.tokens.text import export_text, import_text
from espnet2.utils.errors import DataError
from espnet2.utils.units import fingerprint

CONFIG = TokensConfig(num_clusters=5, kmeans_iterations=5)


@pytest.fixture
def labelled(tmp_path):
    """A set, its codebook and its label files, before the sidecar."""
    index = make_set(tmp_path)
    fit_codebook(index.path, tmp_path / "book", CONFIG, 1, "cpu")
    for shard in index.each_shard():
        out = labels_file(tmp_path / "labels", shard.name)
        rows = (shard.rows.start, shard.rows.stop)
        label_shard(index.path, shard.name, rows, tmp_path / "book", out, CONFIG, "cpu")
    return tmp_path, index


def finish(tmp_path, index, max_dead_ratio=0.1):
    labels, book = tmp_path / "labels", tmp_path / "book"
    return finish_labels(index.path, labels, book, max_dead_ratio, index.fingerprint)


def test_a_finished_set_opens_and_is_described(labelled):
    tmp_path, index = labelled
    figures = finish(tmp_path, index)
    store = LabelStore.open(index, tmp_path / "labels")
    ids = np.concatenate([store.labels(row) for row in range(len(index))])
    assert figures["frames"] == len(ids) == index.frames_of(slice(None)).sum()
    assert figures["used_clusters"] == len(set(ids.tolist()))
    quality = json.loads((tmp_path / "labels/quality.json").read_text())
    assert quality["majority_share"] == np.bincount(ids).max() / len(ids)
    assert sorted(quality["languages"]) == ["deu", "eng", "fra"]
    assert (tmp_path / "labels/quality.png").read_bytes()[:4] == b"\x89PNG"
    sidecar = tmp_path / "labels/labels.json"
    assert json.loads(sidecar.read_text())["provenance"]["teacher"]["normalise"] == "mean"
    before = sidecar.read_bytes()
    (tmp_path / "labels/provenance.json").unlink()
    finish(tmp_path, index)
    assert "time" in json.loads((tmp_path / "labels/provenance.json").read_text())
    assert sidecar.read_bytes() == before


def test_a_cut_file_or_counts_of_other_labels_stop_the_stage_without_a_sidecar(labelled):
    tmp_path, index = labelled
    finish(tmp_path, index)
    path = labels_file(tmp_path / "labels", index.shards[0])
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    with pytest.raises(DataError, match=r"a\.shards\.000\.ark\.u16: cut short"):
        finish(tmp_path, index)
    assert not (tmp_path / "labels/labels.json").exists()
    path.write_bytes(whole)
    other = path.with_suffix(".counts.npz")
    other.write_bytes((tmp_path / "labels/b.shards.000.ark.counts.npz").read_bytes())
    with pytest.raises(DataError, match="its counts are of other labels"):
        finish(tmp_path, index)


def test_dead_clusters_stop_the_stage_after_the_report(labelled, monkeypatch):
    tmp_path, index = labelled
    for shard in index.each_shard():
        assert labels_file(tmp_path / "labels", shard.name).exists()
    monkeypatch.setattr("espnet2.tokens.quality.counts.FRAMES_TO_JUDGE", 1)
    monkeypatch.setattr("espnet2.tokens.finish.summary", lambda c: {**BAD, "frames": 10**6})
    with pytest.raises(DataError, match="3 of 5 clusters have no frame"):
        finish(tmp_path, index)
    assert (tmp_path / "labels/quality.json").exists()
    assert not (tmp_path / "labels/labels.json").exists()


BAD = {
    "num_clusters": 5, "used_clusters": 2, "dead_clusters": 3, "perplexity": 2.0,
    "majority_share": 0.5, "mean_run_frames": 1.0, "languages": {}, "language_information": 0.0,
}  # fmt: skip


def test_text_and_label_files_are_exact_inverses(labelled):
    tmp_path, index = labelled
    finish(tmp_path, index)
    export_text(index.path, tmp_path / "labels", tmp_path / "text")
    lines = (tmp_path / "text").read_text().splitlines()
    assert [line.split()[0] for line in lines] == sorted(index.utt_ids)
    store = LabelStore.open(index, tmp_path / "labels")
    spoken = {line.split()[0]: list(map(int, line.split()[1:])) for line in lines}
    assert spoken == {name: store.labels(i).tolist() for i, name in enumerate(index.utt_ids)}
    tabs = [line.replace(" ", "\t", 1) for line in lines[::-1]]
    (tmp_path / "shuffled").write_text("\r\n".join(tabs) + "\r\n")
    import_text(index.path, tmp_path / "shuffled", tmp_path / "again", 5)
    for shard in index.each_shard():
        path = labels_file(tmp_path / "labels", shard.name)
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    assert not (tmp_path / "again/.import").exists()
    finish_labels(index.path, tmp_path / "again", tmp_path / "book", 0.1)
    export_text(index.path, tmp_path / "again", tmp_path / "text2")
    assert (tmp_path / "text2").read_bytes() == (tmp_path / "text").read_bytes()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda t: t.replace("train-000 ", "train-000 3 ", 1),
            r"text:1: train-000: 50 labels for 49",
        ),
        (lambda t: t.replace("train-000 ", "nobody ", 1), r"text:1: nobody is not in the index"),
        (lambda t: t + t, "is not in the index, or came before"),
        (lambda t: t.split("\n", 1)[1], "of the index that are missing: 1, first train-000"),
        (lambda t: t.replace("train-000 ", "train-000 9", 1), r"ids must lie in 0 … 4"),
        (lambda t: t.replace("train-000 ", "train-000 x", 1), "labels must be whole numbers"),
        (lambda t: "\n" + t, r"text:1: an empty line; a line is 'utterance label label …'"),
        (lambda t: "\udcff" + t, r"text:1: not UTF-8 text"),
    ],
)
def test_text_that_does_not_fit_is_refused_with_its_line(labelled, edit, message):
    tmp_path, index = labelled
    finish(tmp_path, index)
    export_text(index.path, tmp_path / "labels", tmp_path / "text")
    edited = edit((tmp_path / "text").read_text())
    (tmp_path / "text").write_text(edited, errors="surrogateescape")
    with pytest.raises(DataError, match=message):
        import_text(index.path, tmp_path / "text", tmp_path / "again", 5)


def fingerprints(index, args, config=CONFIG):
    return {u.kwargs["shard"]: fingerprint(u) for u in shard_units(index, config, args)}


def test_a_shards_unit_follows_its_own_audio_and_nothing_else(labelled):
    tmp_path, index = labelled
    args = Namespace(index=index.path, codebook=tmp_path / "book", out=tmp_path / "s/labels/x",
                     ngpu=0)  # fmt: skip
    before = fingerprints(index, args)
    table = index.table.to_pylist()
    table[0]["content_hash"] = 2**64 - 1
    write_index(tmp_path / "train/index.arrow", index.table.from_pylist(table, index.table.schema))
    changed = Index.open(tmp_path / "train")
    after = fingerprints(changed, args)
    assert [s for s in before if before[s] != after[s]] == [index.shards[0]]
    batch = TokensConfig(**{**CONFIG.__dict__, "batch_seconds": 1.0})
    assert fingerprints(changed, args, batch) == after


def test_labels_that_were_imported_are_not_taken_for_the_teachers(labelled):
    tmp_path, index = labelled
    conf, text = tmp_path / "conf.yaml", tmp_path / "text"
    conf.write_text("tokens: {num_clusters: 5}\n")
    out = tmp_path / "train/labels/x"
    stage = ["--conf", str(conf), "--index", str(index.path), "--codebook", str(tmp_path / "book"),
             "--out", str(out), "--log_dir", str(tmp_path / "log")]  # fmt: skip

    def contents(*options):
        assert label.main([*stage, *options]) == 0
        return [labels_file(out, shard.name).read_bytes() for shard in index.each_shard()]

    computed = contents("--export_text", str(text))
    lines = [line.split() for line in text.read_text().splitlines()]
    text.write_text("".join(" ".join([name, *["3"] * len(ids)]) + "\n" for name, *ids in lines))
    imported = contents("--set", "tokens.max_dead_ratio=1", "--import_text", str(text))
    assert imported != computed
    assert contents() == computed
    assert contents("--set", "tokens.max_dead_ratio=1", "--import_text", str(text)) == imported


def test_an_index_that_changed_under_the_stage_is_noticed(labelled):
    tmp_path, index = labelled
    first, second, *_ = index.each_shard()
    rows = (first.rows.start, second.rows.start + 1)
    with pytest.raises(DataError, match="changed since the stage began; start the label stage"):
        label_shard(index.path, first.name, rows, tmp_path / "book", tmp_path / "x", CONFIG, "cpu")
    table = index.table.to_pylist()
    table[0]["content_hash"] = 2**64 - 1  # other audio, of the same length
    write_index(index.path, index.table.from_pylist(table, index.table.schema))
    with pytest.raises(DataError, match="changed since the stage began; start the label stage"):
        finish(tmp_path, index)


def test_a_set_with_a_part_of_its_labels_new_is_none(labelled):
    tmp_path, index = labelled
    finish(tmp_path, index)
    fit_codebook(index.path, tmp_path / "book", CONFIG, 2, "cpu")
    shard = next(index.each_shard())
    out, rows = labels_file(tmp_path / "labels", shard.name), (shard.rows.start, shard.rows.stop)
    label_shard(index.path, shard.name, rows, tmp_path / "book", out, CONFIG, "cpu")
    with pytest.raises(DataError, match="no labels.json, so no complete labels; run the label"):
        LabelStore.open(index, tmp_path / "labels")
