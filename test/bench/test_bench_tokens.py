"""``bench tokens``: the speech, the teachers, both sides' steps, and the tables."""

import argparse
import importlib
import io
import re

import numpy as np
import pytest
import soundfile
import torch

from espnet2.bench.data_audio import spoken
from espnet2.bench.model import PEER_PYTHON
from espnet2.bench.tokens import PARTS as TABLES
from espnet2.bench.tokens import add_options
from espnet2.bench.tokens_data import make_set, part_of
from espnet2.bench.tokens_nearest import compare
from espnet2.bench.tokens_ours import ENTRIES, PARTS, buckets
from espnet2.bench.tokens_sides import (
    FILES,
    check_text,
    our_steps,
    ours_on_disk,
    time_row,
)
from espnet2.bench.tokens_speed import NEAREST, measured_row, where, worker
from espnet2.bench.tokens_teachers import TINY_NETWORK, e_branchformer, hubert
from espnet2.bin.bench import main
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.tokens.codebook import load_codebook
from espnet2.tokens.teachers.registry import build_teacher
from espnet2.utils.errors import DataError
from espnet2.utils.work import load_entry

AUDIO_S, SHARD_S = 30.0, 10.0


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """Half a minute of synthetic voices in shards of about 10 s."""
    folder = tmp_path_factory.mktemp("dump")
    sources = spoken(folder / "spoken", 16)
    (folder / "voices").mkdir()
    lines = [f"utt{n} {next(sources)}\n" for n in range(4)]
    (folder / "voices" / "wav.scp").write_text("".join(lines))
    return make_set(tmp_path_factory.mktemp("set"), folder, AUDIO_S, SHARD_S)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A tiny HuBERT."""
    return hubert(tmp_path_factory.mktemp("teachers") / "hubert", TINY_NETWORK)


@pytest.fixture(scope="module")
def ours(audio, network, tmp_path_factory):
    """Our steps with the tiny HuBERT: the folder that they wrote, and their answers."""
    folder = tmp_path_factory.mktemp("sides")
    return folder, our_steps(network, audio, folder / "ours")


def test_everything_is_measured_unless_a_part_is_named():
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert parser.parse_args([]).only is None
    assert parser.parse_args(["--only", "speed", "--only", "memory"]).only == ["speed", "memory"]
    assert list(TABLES) == ["speed", "nearest", "sides", "memory"]


def test_the_speech_lies_in_several_shards_and_both_sides_find_it(audio):
    index = Index.open(audio.index)
    seconds = index.num_samples[:] / 16000
    assert AUDIO_S <= seconds.sum() == pytest.approx(audio.seconds)
    assert 2 <= seconds.min() <= seconds.max() <= 20
    shards = list(index.each_shard())
    assert len(shards) == audio.shards >= 2
    addresses = (audio.folder / "wav.scp").read_text().splitlines()
    lengths = (audio.folder / "utt2num_samples").read_text().splitlines()
    assert len(addresses) == len(lengths) == len(index) == audio.utterances
    for row, (address, length) in enumerate(zip(addresses, lengths, strict=True)):
        assert length == f"{index.utt_ids[row]} {index.num_samples[row]}"
        ark, offset = address.split(maxsplit=1)[1].rsplit(":", 1)
        with open(ark, "rb") as file:
            file.seek(int(offset))
            assert file.read(5) == b"AUDIO"
            file.seek(int(index.offsets[row]))
            heard, _ = soundfile.read(
                io.BytesIO(file.read(int(index.nbytes[row]))), dtype="float32"
            )
        np.testing.assert_array_equal(heard, index.audio(row))


def test_a_smaller_corpus_is_the_first_shards_of_the_larger(audio):
    part = part_of(audio, SHARD_S)
    whole, first = Index.open(audio.index), Index.open(part.index)
    shard = next(iter(whole.each_shard()))
    assert part.shards == 1
    assert len(first) == part.utterances == len(shard.rows)
    assert part.seconds == pytest.approx(first.hours * 3600)
    np.testing.assert_array_equal(first.audio(0), whole.audio(0))


def test_the_teachers_are_cut_at_three_quarters_of_their_layers(network, tmp_path):
    branchformer = e_branchformer(tmp_path / "e", TINY_NETWORK)
    for spec, layers in ((network, "layers"), (branchformer, "encoder.encoders")):
        teacher = build_teacher(spec.name, spec.conf)
        assert (teacher.dim, spec.conf["layer"]) == (32, 3)
        assert len(teacher.network.get_submodule(layers)) == 3
        assert torch.isfinite(teacher.frames([np.ones(8000, np.float32)]).values).all()
        assert spec.title.endswith("width 32, layer 3 of 4")


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_labelling_is_a_function_that_exists(part):
    for module_end, name in PARTS[part]:
        dotted = module_end.removesuffix(".py").replace("/", ".")
        package = "espnet2.data." if dotted.startswith(("index", "data")) else "espnet2.tokens."
        module = importlib.import_module(package + dotted.removeprefix("data.").removeprefix(
            "tokens."))  # fmt: skip
        owners = [module, *(value for value in vars(module).values() if isinstance(value, type))]
        assert any(name in vars(owner) for owner in owners), (module_end, name)


def test_the_steps_are_the_stages_own():
    assert all(callable(load_entry(entry)) for entry in ENTRIES.values())


def test_our_steps_make_a_label_set_that_training_reads(audio, network, ours):
    folder, answers = ours
    index = Index.open(audio.index)
    store = LabelStore.open(index, folder / "ours" / "labels")
    teacher = build_teacher(network.name, network.conf)
    book = load_codebook(folder / "ours" / "codebook")
    frames = teacher.frames([index.audio(0)]).values.numpy()
    distances = np.square(frames[:, None] - book.centroids).sum(-1)
    np.testing.assert_array_equal(store.labels(0), distances.argmin(1))
    for answer in answers.values():
        assert answer["seconds"][0] > 0
        assert 0 < answer["before"] <= answer["peak"]


def test_the_text_of_our_labels_has_the_laws_number_of_frames(audio, ours):
    check_text(audio, ours[0] / "ours" / "text", 1)


def test_a_text_with_a_label_too_few_or_an_utterance_missing_is_refused(audio, ours, tmp_path):
    lines = (ours[0] / "ours" / "text").read_text().splitlines()
    (tmp_path / "short").write_text("\n".join([lines[0].rsplit(" ", 1)[0], *lines[1:]]))
    with pytest.raises(DataError, match=r"utt000000: \d+ labels for \d+ frames"):
        check_text(audio, tmp_path / "short", 1)
    (tmp_path / "missing").write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match=f"no labels of utt{len(lines) - 1:06d}"):
        check_text(audio, tmp_path / "missing", 1)


def test_labelling_is_measured_beside_the_fastest_bare_forward(audio, network, tmp_path):
    row, rounds = measured_row(network, audio, tmp_path / "out", 2)
    assert row[:3] == ("HuBERT, width 32, layer 3 of 4", "16", "1 min, 2 shards")
    assert len(rounds) == 2
    assert row[5] in {"alone", "padded"}
    assert float(row[6].rstrip("%")) > 0
    assert "forward" in row[8]
    assert "decode" in row[8]


def test_the_nearest_centroids_of_both_packages_are_the_same(tmp_path):
    with worker(tmp_path / "log", NEAREST) as side:
        found = side.ask("open", frames=300, dim=8, clusters=20)
        times = [side.ask("assign", by=by)["seconds"][0] for by in ("ours", "scikit-learn")]
    assert found == {"differ": 0, "least_gain": 0.0}
    assert min(times) > 0


def test_a_farther_centroid_is_found_out():
    centroids = np.array([[0.0], [3.0]], np.float32)
    frames = np.array([[1.0], [2.0]], np.float32)
    best, wrong = np.array([0, 1]), np.array([0, 0])
    assert compare(frames, centroids, best, wrong) == {"differ": 1, "least_gain": 0.0}
    assert compare(frames, centroids, wrong, best) == {"differ": 1, "least_gain": -3.0}


def test_padded_batches_hold_like_lengths_up_to_the_limit():
    signals = [np.zeros(round(s * 16000), np.float32) for s in (3, 1, 2, 0.01, 1, 9)]
    lengths = [[len(signal) // 16000 for signal in batch] for batch in buckets(signals, 4.0)]
    assert lengths == [[1, 1], [2], [3], [9]]


def test_small_parts_are_one_with_the_rest():
    shares = {"forward": 0.9, "decode": 0.07, "write": 0.001, "rest": 0.029}
    assert where(shares) == "forward 90.0%, decode 7.0%, rest 3.0%"


def test_a_step_that_one_side_does_not_have_has_no_ratio():
    assert time_row("features", None, 2.0) == ("features", "–", "2.00 s", "–")
    assert time_row("labels", 0.5, 2.0) == ("labels", "500.00 ms", "2.00 s", "4.00 × as fast")


def test_features_are_not_on_our_disk(ours):
    sizes = ours_on_disk(ours[0] / "ours")
    assert set(sizes) == set(FILES)
    assert sizes["features"] == 0
    assert sizes["codebook"] > 16 * 32 * 4


@pytest.mark.peer
@pytest.mark.skipif(not PEER_PYTHON.is_file(), reason="no tools/espnet_venv")
def test_a_run_prints_its_tables_and_saves_them(tmp_path, capsys):
    record = tmp_path / "record.md"
    words = ["tokens", "--tiny", "--rounds", "1", "--save", str(record)]
    assert main([*words, "--scratch", str(tmp_path / "scratch")]) == 0
    text = capsys.readouterr().out
    assert record.read_text() == text
    assert list((tmp_path / "scratch").iterdir()) == []
    assert re.findall(r"^### (.*)$", text, re.MULTILINE) == [
        "Labelling, tiny: × real time a core",
        "The nearest of 32 centroids, tiny, one thread",
        "Labels from the audio beside espnet 202511, tiny: MFCC, 100 clusters, one thread",
        "Labels from the audio beside espnet 202511, tiny: HuBERT, width 32, layer 3 of 4, "
        "16 clusters, one thread",
        "Memory against the size of the corpus, tiny",
    ]
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in text.splitlines()}
    here, there = re.findall(r"nearest centroid: ([\d.]+) here, ([\d.]+) there", text)[0]
    assert float(here) == pytest.approx(float(there), rel=0.2)  # of the same network
    assert rows["| features to disk"][0] == "–"
    assert rows["| features"][0] == "0.00 MiB"
