"""A generated Kaldi directory of tones, an export folder, features and a cell: all tiny."""

from pathlib import Path

import numpy as np
import soundfile
import yaml

from espnet2.asr.cell_data import CellData
from espnet2.asr.config import BatchConfig, EncoderSpec, FeatureConfig, ProbeConfig, TuneConfig
from espnet2.asr.features import write_features
from espnet2.data.kaldi import Utterance, write_kaldi, write_table
from espnet2.tasks.ssl import SSLTask
from espnet2.train import finetune
from espnet2.train.cells import CellConfig
from espnet2.train.checkpoint import save_tensors

MODEL = {
    "frontend": "wav2vec_cnn",
    "frontend_conf": {
        "norm_mode": "layer_norm", "conv_mode": "standard", "bias": True, "normalize_audio": True,
        "shapes": [[8, 10, 5]] + [[8, 3, 2]] * 4 + [[8, 2, 2]] * 2,
    },
    "preencoder": "linear",
    "preencoder_conf": {"output_size": 16},
    "encoder": "e_branchformer",
    "encoder_conf": {
        "output_size": 16, "attention_heads": 2, "attention_layer_type": "selfattn",
        "pos_enc_layer_type": "conv", "rel_pos_type": "latest", "cgmlp_linear_units": 32,
        "cgmlp_conv_kernel": 7, "num_blocks": 2, "input_layer": None, "linear_units": 32,
        "positionwise_layer_type": "linear", "macaron_ffn": True, "use_ffn": True,
        "merge_conv_kernel": 7,
    },
    "model": "espnet",
    "init": "xavier_uniform",
}  # fmt: skip
CELL = CellConfig(
    encoder_name="random", encoder=EncoderSpec(kind="random"), task="joint", track="10min",
    learning_rate=0.01, seed=1, corpora=[],
    features=FeatureConfig(dtype="float16", amp="float32"),
    probe=ProbeConfig(
        conv_channels=4, output_size=32, attention_heads=2, linear_units=32, num_blocks=1,
        dropout_rate=0.0, specaug=None,
    ),
    tune=TuneConfig(), batches=BatchConfig(batch_s=8), average_best=1,
    training={
        "max_steps": 30, "valid_interval_steps": 30, "save_interval_steps": 30, "num_workers": 0,
        "train_dtype": "float32",
    },
)  # fmt: skip
TEXTS = {"fra": "LE CHAT NOIR", "spa": "EL GATO NEGRO", "dan": "EN SORT KAT"}


def tone(text: str, seed: int = 0) -> np.ndarray:
    """(samples,) 0.1 s of a tone for each character, in noise."""
    noise = np.random.default_rng(seed).normal(0, 0.01, 1600 * len(text))
    pitch = np.repeat([0.01 * (ord(character) - 20) for character in text], 1600)
    return (0.3 * np.sin(np.arange(len(pitch)) * pitch) + noise).astype(np.float32)


def make_split(folder: Path, per_language: int) -> list[str]:
    """A Kaldi directory of ``per_language`` utterances of each language; returns their ids."""
    utterances = []
    for language, text in TEXTS.items():
        for number in range(per_language):
            utt_id, words = (
                f"real_{language}_{number:03d}",
                " ".join(text.split()[: 2 + number % 2]),
            )
            wav = folder / "wav" / f"{utt_id}.wav"
            wav.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(wav, tone(words, number), 16_000)
            utterances.append(
                Utterance(
                    utt_id=utt_id, recording=utt_id, source=str(wav), language=language,
                    speaker=utt_id, text=words, duration_s=len(words) * 0.1,
                )
            )  # fmt: skip
    write_kaldi(folder, utterances)
    write_table(folder / "utt2corpus", {u.utt_id: "real" for u in utterances})
    return sorted(u.utt_id for u in utterances)


def make_export(folder: Path) -> Path:
    """An export folder with an untrained model."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(MODEL))
    model = SSLTask.build_model(MODEL)
    save_tensors(folder / "xeus_checkpoint_old.pth", model.state_dict())
    return folder


def make_cell_data(folder: Path, task: str = "joint", per_language: int = 4) -> CellData:
    """Three splits with fbank features; the data of a cell."""
    encoder, config = EncoderSpec(kind="fbank"), FeatureConfig(chunk_s=3)
    for split, count in (("train", per_language), ("dev", 2), ("test", 2)):
        make_split(folder / "dump" / "10min" / split, count)
        write_features(
            folder / "dump" / "10min" / split, encoder, None, config, "cpu",
            folder / "features" / f"10min_{split}",
        )  # fmt: skip
    return CellData(
        data=folder / "dump", features=folder / "features", task=task, track="10min", corpora=[],
        encoder=encoder, export=None, feature_config=config,
    )  # fmt: skip


def train(root: Path, cell: CellConfig) -> Path:
    """Train a cell on tones of ``root``, made where they are missing; gives its folder."""
    export = root / "export"
    if not export.is_dir():
        make_export(export)
        source = make_cell_data(root)
        for split in ("train", "dev", "test"):
            write_features(
                source.data_dir(split), cell.encoder, export, cell.features, "cpu",
                root / "random/features" / f"10min_{split}",
            )  # fmt: skip
    out = root / "random" / cell.name
    finetune.run_cell(out, root / "dump", root / "random/features", export, cell)
    return out
