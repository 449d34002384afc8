"""Which features are computed, which are links, and what stands for an encoder."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest

from espnet2.asr.config import EncoderSpec, TuneConfig
from espnet2.asr.features import FeatureStore
from espnet2.train.cells import finetune_config
from espnet2.train.feature_units import Places, deciding_files, export_of, feature_units
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import read_json
from espnet2.utils.units import fingerprint
from espnet2.utils.work import call

# The builder of tiny data belongs to the tests of espnet2.asr.
SPEC = importlib.util.spec_from_file_location(
    "tiny_asr_for_features", Path(__file__).parents[1] / "asr" / "tiny_asr.py"
)
tiny_asr = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny_asr)

CONFIG = finetune_config(
    {
        "encoders": {"fbank": {"kind": "fbank"}, "random": {"kind": "random"}},
        "only_encoders": ["fbank"], "tracks": ["10min", "1h"], "tasks": ["lid"],
        "training": {"max_steps": 1}, "features": {"chunk_s": 2.0},
    },
    "test",
)  # fmt: skip


@pytest.fixture
def places(tmp_path):
    """Both tracks of a tiny benchmark: training lists of their own, the others the same."""
    data = tmp_path / "superb"
    for split, count in (("train", 2), ("dev", 2), ("test", 1)):
        tiny_asr.make_split(data / "10min" / split, count)
        (data / "1h" / split).mkdir(parents=True)
        for table in (data / "10min" / split).glob("[tuws]*"):
            if table.is_file():
                (data / "1h" / split / table.name).write_bytes(table.read_bytes())
    tiny_asr.make_split(data / "1h/train", 3)
    return Places(data=data, export=None, out=tmp_path / "out")


def do(unit):
    """The unit's work, as a process does it that reads the unit from a JSON file."""
    call(dataclasses.replace(unit, kwargs=json.loads(json.dumps(unit.kwargs, default=str))))


def test_lists_that_are_the_same_in_both_tracks_are_encoded_once(places):
    computed, shared = feature_units(CONFIG, places)
    assert [unit.name.removeprefix("features_fbank_") for unit in computed] == [
        "10min_train", "1h_train", "10min_dev", "10min_test",
    ]  # fmt: skip
    assert [unit.name.removeprefix("features_fbank_") for unit in shared] == ["1h_dev", "1h_test"]


def test_parts_of_recordings_that_moved_are_other_features(places):
    folders = [places.data / track / "dev" for track in ("10min", "1h")]
    for folder, start in zip(folders, (0.0, 0.5), strict=True):
        (folder / "segments").write_text(f"a rec {start} {start + 1}\n")
    computed, shared = feature_units(CONFIG, places)
    assert [unit.name for unit in shared] == ["features_fbank_1h_test"]
    before = [fingerprint(unit) for unit in computed]
    (folders[0] / "segments").write_text("a rec 0.25 1.25\n")
    after = [fingerprint(unit) for unit in feature_units(CONFIG, places)[0]]
    changed = [u.name for u, old, new in zip(computed, before, after, strict=True) if old != new]
    assert changed == ["features_fbank_10min_dev"]


def test_links_are_read_as_the_features_they_share(places):
    computed, shared = feature_units(CONFIG, places)
    do(computed[2])
    one, other = computed[2].marker.parent, shared[0].marker.parent
    other.mkdir(parents=True)
    (other / "007.bin").write_bytes(b"of an earlier run")
    do(shared[0])
    chunks = read_json(one / "features.json")["chunks"]
    assert len(chunks) > 1
    assert sorted(path.name for path in other.glob("*.bin")) == chunks
    assert all((one / name).samefile(other / name) for name in chunks)
    assert read_json(one / "features.json") == read_json(other / "features.json")
    first, second = FeatureStore(one), FeatureStore(other)
    assert all(first.one(row).equal(second.one(row)) for row in range(len(first.utt_ids)))


def test_where_nothing_can_be_linked_the_features_are_copied(places, monkeypatch):
    computed, shared = feature_units(CONFIG, places)
    do(computed[2])

    def refuse(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    do(shared[0])
    one, other = computed[2].marker.parent / "000.bin", shared[0].marker.parent / "000.bin"
    assert not one.samefile(other)
    assert one.read_bytes() == other.read_bytes()


def test_nothing_is_stored_where_the_encoder_learns_in_every_cell(places):
    full, export = TuneConfig(encoder="full"), places.out / "export"
    export.mkdir(parents=True)
    (export / "config.yaml").touch()
    places = dataclasses.replace(places, export=export)
    for tasks, by_task, keep in (
        (["lid"], {}, "never"),
        (["lid", "multi"], {"lid": {"tune": {"encoder": "frozen"}}}, "auto"),
    ):
        config = dataclasses.replace(
            CONFIG, only_encoders=["random"], tasks=tasks, tune=full, by_task=by_task
        )
        unit = feature_units(config, places)[0][0]
        assert unit.kwargs["config"]["keep"] == unit.options["config"]["keep"] == keep


def test_layers_are_measured_on_the_training_split_alone(places):
    features = dataclasses.replace(CONFIG.features, normalise="std")
    before, after = (
        feature_units(config, places)[0]
        for config in (CONFIG, dataclasses.replace(CONFIG, features=features))
    )
    changed = [
        b.name for b, a in zip(before, after, strict=True) if fingerprint(a) != fingerprint(b)
    ]
    assert changed == ["features_fbank_10min_train", "features_fbank_1h_train"]


def test_without_stage_10_it_says_so(tmp_path):
    with pytest.raises(ConfigError, match=r"10min/train/wav.scp is missing; run stage 10"):
        feature_units(CONFIG, Places(data=tmp_path, export=None, out=tmp_path))


def test_an_export_folder_without_a_model_is_refused_by_name(tmp_path):
    spec = EncoderSpec(kind="export")
    with pytest.raises(ConfigError, match="encoder mine needs an exported model: give --export"):
        export_of("mine", spec, None)
    with pytest.raises(ConfigError, match="encoder mine: .* holds no config.yaml of an exported"):
        export_of("mine", spec, tmp_path)
    (tmp_path / "config.yaml").touch()
    assert export_of("mine", spec, tmp_path) == tmp_path
    assert export_of("fbank", EncoderSpec(kind="fbank"), tmp_path) is None


def test_an_encoder_is_known_by_its_weights_and_its_configuration(tmp_path):
    for name in ("model/xeus.pth", "config.yaml", "hf/config.json", "hf/preprocessor_config.json",
                 "hf/model.safetensors", "hf/README.md", "weights.json", "a.pth"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def names(**spec):
        spec = EncoderSpec(**spec)
        return [str(p.relative_to(tmp_path)) for p in deciding_files(spec, tmp_path)]

    assert names(kind="fbank") == []
    assert names(kind="random") == ["config.yaml"]
    assert names(kind="export") == ["config.yaml", "weights.json"]
    assert names(kind="checkpoint", path=tmp_path / "model/xeus.pth") == [
        "model/xeus.pth", "config.yaml",
    ]  # fmt: skip
    assert names(kind="hf", path=tmp_path / "hf") == [
        "hf/config.json", "hf/preprocessor_config.json", "hf/model.safetensors",
    ]  # fmt: skip
