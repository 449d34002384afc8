"""What a user gets wrong in stages kmeans and label: one line each, exit status 1."""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from label_runs import ROOT, finish, words, write_recipe  # noqa: E402
from tiny_teachers import save_xeus  # noqa: E402
from tiny_tokens import SHARDS, make_set  # noqa: E402

from espnet2.bin import kmeans, label, label_quality  # noqa: E402
from espnet2.data.index import write_index  # noqa: E402
from espnet2.data.labels import LabelStore, labels_file  # noqa: E402
from espnet2.tokens.codebook import Codebook, save_codebook  # noqa: E402
from espnet2.tokens.teachers.mfcc import MfccConfig, MfccTeacher  # noqa: E402
from espnet2.utils.cli import exit_status  # noqa: E402

pytestmark = pytest.mark.integration


def refused(main, argv, capfd):
    """The one line that a command says when it refuses its input."""
    capfd.readouterr()
    assert exit_status(functools.partial(main, [str(word) for word in argv])) == 1
    said = capfd.readouterr().err
    assert "Traceback" not in said, said
    lines = [line for line in said.splitlines() if "error: " in line]
    reasons = {line.rpartition("error: ")[2] for line in lines}
    assert len(reasons) == 1, said
    return reasons.pop()


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A set of one shard and its folder, with the codebook of other tests' MFCC."""
    monkeypatch.chdir(ROOT)
    write_recipe(tmp_path / "toy.yaml", num_clusters=5)
    index = make_set(tmp_path, lengths=[16000, 8000], shards=SHARDS[:1])
    return tmp_path, index


def save_random(folder, clusters, dim, identity=None):
    """A codebook that fits the teacher mfcc, but for what is asked otherwise."""
    centroids = np.random.default_rng(0).standard_normal((clusters, dim)).astype(np.float32)
    identity = identity or MfccTeacher(MfccConfig()).identity()
    save_codebook(folder, Codebook(centroids=centroids, teacher=identity))


def test_a_codebook_of_another_width_or_teacher_is_refused(toy, capfd):
    place, _ = toy
    command = words(place, "label", "run", "toy")
    save_random(place / "run/tokens/toy", 5, 13)
    reason = refused(label.main, command, capfd)
    assert reason == "the codebook's centroids have 13 dimensions, the teacher's frames 39"
    save_random(place / "run/tokens/toy", 5, 39, {"teacher": "hf", "layer": 9})
    reason = refused(label.main, command, capfd)
    assert "belongs to another teacher: teacher was 'hf' when it was fitted, is 'mfcc'" in reason
    assert not (place / "run/labels/toy/labels.json").exists()


def test_more_clusters_than_labels_can_name_or_than_frames_are_refused(toy, capfd, monkeypatch):
    place, _ = toy
    command = words(place, "kmeans", "run", "toy")
    reason = refused(kmeans.main, [*command, "--set", "tokens.num_clusters=65537"], capfd)
    assert "num_clusters must be 2 to 65,536 (labels are 16-bit), got 65,537" in reason
    reason = refused(kmeans.main, [*command, "--set", "tokens.num_clusters=74"], capfd)
    assert reason.startswith("73 frames cannot make 74 clusters; use fewer clusters")
    with monkeypatch.context() as patch:
        patch.setattr("espnet2.tokens.codebook.MAX_CLUSTERS", 2**17)
        save_random(place / "run/tokens/toy", 2**16 + 1, 39)
    reason = refused(label.main, words(place, "label", "run", "toy"), capfd)
    assert "a codebook of 65,537 clusters does not fit 16-bit labels; at most 65,536" in reason


def test_silence_has_labels_but_makes_no_codebook(toy, capfd):
    place, _ = toy
    save_xeus(place / "model")
    xeus = {"teacher": "xeus",
            "teacher_conf": {"checkpoint": str(place / "model/model.pth"), "layer": 2}}  # fmt: skip
    for name, settings in (("toy", {}), ("other", xeus)):
        write_recipe(place / f"{name}.yaml", num_clusters=5, **settings)
        index = make_set(place, lengths=[16000, -8000], shards=SHARDS[:1])
        finish(place, "kmeans", name, name)
        finish(place, "label", name, name)
        store = LabelStore.open(index, place / name / "labels/toy")
        assert len(store.labels(1)) == 24
        assert store.labels(1).max() < 5
        make_set(place, lengths=[-16000, -8000, -399], shards=SHARDS[:1])
        reason = refused(kmeans.main, words(place, "kmeans", f"{name}2", name), capfd)
        assert "the 2 utterances of the sample are digital silence; look at the audio" in reason


def test_frames_that_are_not_finite_and_layers_that_are_not_there_are_refused(toy, capfd):
    place, _ = toy
    save_xeus(place / "model", scale=1e30)  # finite weights whose products are not
    for layer, message in (
        (2, "train-000: the teacher's frames are not finite; look at its audio"),
        (4, f"layer must be 1 to 3 for {place}/model/model.pth, got 4"),
    ):
        conf = {"checkpoint": str(place / "model/model.pth"), "layer": layer}
        write_recipe(place / "toy.yaml", teacher="xeus", teacher_conf=conf, num_clusters=5)
        assert message in refused(kmeans.main, words(place, "kmeans", "run", "toy"), capfd)


def test_cut_labels_and_labels_of_a_changed_index_are_refused(toy, capfd):
    place, index = toy
    save_random(place / "run/tokens/toy", 5, 39)
    command, folder = words(place, "label", "run", "toy"), place / "run/labels/toy"
    assert label.main(command) == 0
    path = labels_file(folder, index.shards[0])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    (place / "ctm").write_text("train-000 1 0.0 0.5 a\n")
    use = ["--index", place / "train", "--labels", folder, "--ctm", place / "ctm",
           "--out", place / "quality"]  # fmt: skip
    cut = f"{path}: cut short: 73 bytes, 73 frames need 146; delete it and run the label stage"
    assert refused(label_quality.main, use, capfd) == f"{cut} again"
    text = [*command, "--export_text", str(place / "text")]
    assert refused(label.main, text, capfd) == f"{cut} again"
    path.unlink()
    assert label.main(command) == 0
    assert path.read_bytes() == whole
    table = index.table.to_pylist()
    table[0]["content_hash"] = 2**64 - 1  # other audio of the same length
    write_index(index.path, index.table.from_pylist(table, index.table.schema))
    reason = refused(label_quality.main, use, capfd)
    assert reason.startswith(f"{folder}: labels of another index than {index.path}; run the label")
