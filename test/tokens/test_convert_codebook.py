import json
import pickle

import joblib
import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.numpy import save_file
from sklearn.cluster import KMeans, MiniBatchKMeans
from tiny_tokens import make_set

from espnet2.bin import convert_codebook, label
from espnet2.data.labels import LabelStore
from espnet2.tokens.codebook import load_codebook
from espnet2.tokens.teachers.mfcc import MfccConfig, MfccTeacher
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import sha256_file

RNG = np.random.default_rng(0)
CENTROIDS = 20 * RNG.standard_normal((5, 39))


def options(tmp_path, clusters=5):
    (tmp_path / "recipe.yaml").write_text(f"tokens: {{num_clusters: {clusters}}}\n")
    return ["--conf", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "book")]


def fitted(kind, frames):
    return kind(n_clusters=5, n_init=1, random_state=0).fit(frames)


class Malicious:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_arrays_become_a_codebook_with_the_same_centroids(tmp_path, dtype, capfd):
    values = CENTROIDS.astype(dtype)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "b.npz", centroids=values, other=np.zeros(3))
    np.savez(tmp_path / "c.npz", values)
    save_file({"centroids": values, "n": np.zeros(1)}, tmp_path / "d.safetensors")
    save_file({"means": values}, tmp_path / "e.safetensors")
    for name in ("a.npy", "b.npz", "c.npz", "d.safetensors", "e.safetensors"):
        out = tmp_path / f"book_{name}"
        convert_codebook.main([*options(tmp_path), "--out", str(out), str(tmp_path / name)])
        book = load_codebook(out)
        np.testing.assert_array_equal(book.centroids, values.astype(np.float32))
        assert book.teacher == MfccTeacher(MfccConfig()).identity()
        story = json.loads((out / "codebook.json").read_text())
        assert story["sha256"] == book.sha256
        assert story["converted_from"]["file"] == str(tmp_path / name)
        assert story["converted_from"]["sha256"] == sha256_file(tmp_path / name)
        assert story["converted_from"]["dtype"] == np.dtype(dtype).name
        rounding = np.abs(values.astype(np.float64) - values.astype(np.float32)).max()
        assert story["converted_from"]["largest_rounding"] == rounding
    said = capfd.readouterr().err
    word = "rounded to float32 by at most" if dtype == np.float64 else "numbers, exactly"
    assert f"5 centroids of 39 {np.dtype(dtype).name} numbers, " in said
    assert said.count(word) == 5


@pytest.mark.parametrize("kind", [KMeans, MiniBatchKMeans])
def test_codebooks_of_scikit_learn_are_read_where_they_are_trusted(tmp_path, kind, capfd):
    frames = RNG.standard_normal((200, 39)).astype(np.float32)
    model = fitted(kind, frames)
    joblib.dump(model, tmp_path / "km.joblib")
    joblib.dump(model, tmp_path / "km_500.bin", compress=3)
    (tmp_path / "km.pkl").write_bytes(pickle.dumps(model))
    for name in ("km.joblib", "km_500.bin", "km.pkl"):
        out = tmp_path / f"book_{name}"
        arguments = [*options(tmp_path), "--out", str(out), str(tmp_path / name)]
        with pytest.raises(DataError, match=f"{name}: taken for a pickle, .* add --trust"):
            convert_codebook.main(arguments)
        assert not out.exists()
        convert_codebook.main([*arguments, "--trust"])
        np.testing.assert_array_equal(load_codebook(out).centroids, model.cluster_centers_)
        assert "warning: " in capfd.readouterr().err


@pytest.mark.parametrize("name", ["km.joblib", "km.bin", "km.npy", "km.npz", "km.safetensors"])
def test_nothing_in_a_pickle_runs_without_trust(tmp_path, name):
    harm = tmp_path / "harm"
    (tmp_path / name).write_bytes(pickle.dumps(Malicious(harm)))
    with pytest.raises(DataError, match=f"{name}: "):
        convert_codebook.main([*options(tmp_path), str(tmp_path / name)])
    np.save(tmp_path / "object.npy", np.array([Malicious(harm)], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="object.npy: not a readable array without pickle"):
        convert_codebook.main([*options(tmp_path), str(tmp_path / "object.npy"), "--trust"])
    assert not harm.exists()
    pickle.loads(pickle.dumps(Malicious(harm))).close()
    assert harm.exists()  # the trap works


def test_a_converted_codebook_labels_as_the_model_that_it_came_from(tmp_path):
    index = make_set(tmp_path, lengths=[4000, 9000])
    teacher = MfccTeacher(MfccConfig())
    frames = [teacher.frames([index.audio(row)]).values.numpy() for row in range(2)]
    model = fitted(MiniBatchKMeans, np.concatenate(frames))
    joblib.dump(model, tmp_path / "km.joblib")
    arguments = options(tmp_path)
    convert_codebook.main([*arguments, "--trust", str(tmp_path / "km.joblib")])
    label.main([
        *("--conf", str(tmp_path / "recipe.yaml"), "--codebook", str(tmp_path / "book")),
        *("--index", str(index.path), "--out", str(tmp_path / "train/labels/km")),
        *("--set", "tokens.max_dead_ratio=1.0", "--log_dir", str(tmp_path / "log")),
    ])  # fmt: skip
    store = LabelStore.open(index, tmp_path / "train/labels/km")
    for row in range(2):
        assert store.labels(row).tolist() == model.predict(frames[row]).tolist()


def refusal(tmp_path, name, clusters=5, *more):
    with pytest.raises((DataError, ConfigError)) as error:
        convert_codebook.main([*options(tmp_path, clusters), str(tmp_path / name), *more])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "book").exists()
    return str(error.value).replace(f"{tmp_path}/", "")


def test_files_that_are_no_codebook_are_one_sentence_each(tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((5, 40)))
    np.save(tmp_path / "nan.npy", np.full((5, 39), np.nan))
    np.save(tmp_path / "huge.npy", np.full((5, 39), 1e300))
    bfloat16 = {"centroids": torch.zeros(5, 39, dtype=torch.bfloat16)}
    safetensors.torch.save_file(bfloat16, tmp_path / "bfloat16.safetensors")
    np.save(tmp_path / "ids.npy", np.zeros((5, 39), dtype=np.int64))
    np.save(tmp_path / "flat.npy", np.zeros(39))
    np.savez(tmp_path / "two.npz", a=CENTROIDS, b=CENTROIDS)
    np.save(tmp_path / "good.npy", CENTROIDS)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "good.npy").read_bytes()[:500])
    (tmp_path / "cut.safetensors").write_bytes(b"12")
    (tmp_path / "cut.joblib").write_bytes(b"\x80\x04")
    joblib.dump({"centroids": 3}, tmp_path / "dict.joblib")
    joblib.dump(KMeans(3), tmp_path / "unfitted.joblib")
    assert refusal(tmp_path, "wide.npy") == (
        "wide.npy: its centroids have 40 dimensions, frames of teacher mfcc have 39: another "
        "teacher, or another layer's codebook"
    )
    assert refusal(tmp_path, "good.npy", 100) == (
        "good.npy: has 5 centroids, section tokens asks for 100; set num_clusters: 5"
    )
    assert refusal(tmp_path, "nan.npy").startswith("nan.npy: 5 of 5 centroids are not finite")
    assert refusal(tmp_path, "huge.npy").startswith("huge.npy: 5 of 5 centroids are not finite")
    assert "file of float16, float32 or float64" in refusal(tmp_path, "bfloat16.safetensors")
    assert refusal(tmp_path, "ids.npy") == (
        "ids.npy: centroids must be floating-point numbers, got int64"
    )
    assert refusal(tmp_path, "flat.npy").startswith("flat.npy: centroids must be a (clusters, wid")
    assert refusal(tmp_path, "two.npz") == "two.npz: holds no array 'centroids' but a, b"
    assert refusal(tmp_path, "none.npy") == "none.npy: no such file"
    assert "cut.npy: not a readable array" in refusal(tmp_path, "cut.npy")
    assert "not a readable safetensors file" in refusal(tmp_path, "cut.safetensors")
    trusted = (5, "--trust")
    assert "cut.joblib: not readable as a joblib or pickle file" in (
        refusal(tmp_path, "cut.joblib", *trusted)
    )
    assert "holds a dict without cluster_centers_" in refusal(tmp_path, "dict.joblib", *trusted)
    assert "holds a KMeans without cluster_centers_, no fitted k-means" in (
        refusal(tmp_path, "unfitted.joblib", *trusted)
    )


def test_a_codebook_that_is_there_is_not_written_over(tmp_path):
    np.save(tmp_path / "a.npy", CENTROIDS)
    arguments = [*options(tmp_path), str(tmp_path / "a.npy")]
    convert_codebook.main(arguments)
    with pytest.raises(ConfigError, match="book holds a codebook already; remove it, or give"):
        convert_codebook.main(arguments)
