"""Units of stage 11 that make features: one for each encoder, track and split.

Development and test lists are the same in both tracks, and so are their features: those of the
second track are links to the first one's.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from espnet2.asr.config import EncoderSpec, FeatureConfig
from espnet2.data.kaldi import audio_listing
from espnet2.data.superb import SPLITS
from espnet2.train.cells import FinetuneConfig, cells
from espnet2.utils.config import to_dict
from espnet2.utils.errors import ConfigError
from espnet2.utils.units import Unit, content_hash

WEIGHTS = ("*.safetensors", "*.bin", "*.pth")


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where stage 11 finds its inputs and puts its outputs."""

    data: Path
    """dump/superb of stage 10."""

    export: Path | None
    """Export folder of encoders that name none."""

    out: Path
    """Folder of encoders and cells."""

    ngpu: int = 0


def feature_units(config: FinetuneConfig, places: Places) -> tuple[list[Unit], list[Unit]]:
    """Units that compute features, training sets, the longest, first; units that share them."""
    computed, shared = [], []
    for split in (*SPLITS, *config.further_tests):
        for name, spec in config.used_encoders.items():
            made: dict[tuple[str, ...], str] = {}
            for track in config.tracks:
                content = content_of(places.data / track / split)
                if content in made:
                    unit = computed_unit(config, name, spec, made[content], split, places)
                    shared.append(shared_unit(name, track, split, unit, places))
                else:
                    made[content] = track
                    computed.append(computed_unit(config, name, spec, track, split, places))
    return computed, shared


def content_of(data_dir: Path) -> tuple[str, ...]:
    """What decides whether two splits have the same features."""
    files = audio_tables(data_dir)
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise ConfigError(f"{missing[0]} is missing; run stage 10 (superb_data) first")
    return tuple(content_hash(path) for path in files)


def audio_tables(data_dir: Path) -> list[Path]:
    """The tables that say what is heard: which recordings, and which parts of them."""
    segments = data_dir / "segments"
    return [data_dir / "wav.scp", data_dir / "utt2dur", *([segments] if segments.is_file() else [])]


def computed_unit(
    config: FinetuneConfig, name: str, spec: EncoderSpec, track: str, split: str, places: Places
) -> Unit:
    """The unit that computes the features of a split."""
    data_dir, out = places.data / track / split, features_dir(places, name, track, split)
    export = export_of(name, spec, places.export)
    features = to_dict(feature_settings(config, split))
    return Unit(
        name=f"features_{name}_{track}_{split}",
        entry="espnet2.asr.features:write_features",
        kwargs={
            "data_dir": data_dir, "encoder": to_dict(spec), "export": export,
            "config": features, "device": "cuda" if places.ngpu else "cpu",
            "out": out,
        },
        marker=out / ".features.done",
        inputs=[*audio_tables(data_dir), *deciding_files(spec, export)],
        options={
            "encoder": to_dict(spec), "config": features,
            "audio": audio_listing(data_dir),
        },
        outputs=[out / "features.json"],
        gpus=min(places.ngpu, 1),
        can_go_on=True,  # at the chunk that it was in
    )  # fmt: skip


def feature_settings(config: FinetuneConfig, split: str) -> FeatureConfig:
    """How features are made; none are stored where the encoder learns in every cell.

    Layers are measured (``normalise``) on the training split alone.
    """
    is_read = any(cell.tune.encoder == "frozen" for cell in cells(config))
    made = config.features if is_read else replace(config.features, keep="never")
    return made if split == "train" else replace(made, normalise=None)


def shared_unit(name: str, track: str, split: str, made: Unit, places: Places) -> Unit:
    """The unit that links the features of a split to those of another track's."""
    source, out = made.marker.parent, features_dir(places, name, track, split)
    return Unit(
        name=f"features_{name}_{track}_{split}",
        entry="espnet2.asr.shared_features:share_features",
        kwargs={"source": source, "out": out},
        marker=out / ".features.done",
        inputs=[source / "features.json"],
        outputs=[out / "features.json"],
    )


def features_dir(places: Places, name: str, track: str, split: str) -> Path:
    """Where the features of an encoder and split lie."""
    return places.out / name / "features" / f"{track}_{split}"


def export_of(name: str, spec: EncoderSpec, export: Path | None) -> Path | None:
    """The export folder of an encoder that needs one.

    Raises:
        ConfigError: none is given, or it holds no model.
    """
    if spec.kind not in ("export", "random"):
        return None
    folder = spec.path or export
    if folder is None:
        raise ConfigError(f"encoder {name} needs an exported model: give --export or its path")
    if not (folder / "config.yaml").is_file():
        raise ConfigError(
            f"encoder {name}: {folder} holds no config.yaml of an exported model; give --export "
            "FOLDER, or choose others with --encoders"
        )
    return folder


def deciding_files(spec: EncoderSpec, export: Path | None) -> list[Path]:
    """The files that stand for an encoder; weights.json, where there is one, hashes the weights."""
    if spec.kind == "fbank":
        return []
    if spec.kind == "checkpoint":
        beside = [folder / "config.yaml" for folder in (spec.path.parent, spec.path.parent.parent)]
        return [spec.path, *(path for path in beside if path.is_file())]
    if spec.kind == "hf":
        weights = [path for pattern in WEIGHTS for path in sorted(spec.path.glob(pattern))]
        return [*sorted(spec.path.glob("*config.json")), *weights]
    if spec.kind == "random":
        return [export / "config.yaml"]
    about = export / "weights.json"
    weights = [about] if about.is_file() else sorted(export.glob("*.pth"))
    return [export / "config.yaml", *weights]
