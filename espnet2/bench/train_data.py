"""One set of speech and one model, as our training loop and as ESPnet's are told of them.

``FOLDER/dump``: our shards, index, labels, plan and banks (``valid`` is ``train`` once more: nobody
validates). Beside it ``wav.scp``, ``text``, ``speech_shape``, ``tokens.txt``, ``noise.scp`` and
``rirs.scp`` for ESPnet, which reads our shards and the same labels. All utterances have one length,
so that every step of either side trains on as many frames.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from espnet2.bench.data_audio import SEED, few_clips, joined, speech, write_bank_for_peers
from espnet2.bench.sizes import STRIDES, Size, encoder_conf, mask_conf, model_config
from espnet2.bench.tokens_data import write_kaldi_files, write_shards
from espnet2.data.augment import MixConfig
from espnet2.data.banks.noise import write_noise
from espnet2.data.banks.rooms import write_rooms
from espnet2.data.config import BankConfig, PlanConfig
from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames
from espnet2.data.index import Index, table_of, write_index
from espnet2.data.labels import LabelsInfo, write_info, write_labels
from espnet2.data.plan import build_plan
from espnet2.utils.config import save_yaml
from espnet2.utils.seeding import rng_for

TAG = "random"  # of the labels
SHARD_S = 100.0
NEVER = 10**6  # steps: no checkpoint and no validation before
LEARNING_RATE, WARMUP_STEPS, GRAD_CLIP = 3e-4, 32_000, 10.0  # XEUS's
BANK = BankConfig(num_coloured=10, num_babble=10, num_rirs=20)
FULL = Size(
    batch=4, audio_s=10, width=192, blocks=4, units=768, channels=128, classes=500,
    masks=0, mask_frames=0,
)  # fmt: skip
TINY = Size(
    batch=2, audio_s=1, width=32, blocks=1, units=32, channels=8, classes=16, masks=0, mask_frames=0
)


@dataclass(frozen=True, kw_only=True)
class TrainSet:
    """The set and the model, as the sides are told of them."""

    folder: Path
    """Where everything lies."""

    size: Size
    """Model and batch."""

    utterances: int
    """Pieces of speech, all ``size.audio_s`` long."""

    origin: str
    """Which speech it is, for the notes of a table."""

    @property
    def dump(self) -> Path:
        """Our side's folder."""
        return self.folder / "dump"

    @property
    def batch_bins(self) -> int:
        """Samples of a batch."""
        return round(self.size.batch * self.size.audio_s * SAMPLE_RATE_HZ)


def make_set(args: argparse.Namespace, folder: Path, size: Size, batches: int) -> TrainSet:
    """Write speech for so many different batches under ``folder``; ``args.dump``: see ``speech``.

    Raises:
        ConfigError: there is no speech.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seconds = batches * size.batch * size.audio_s
    sources, origin = speech(args.dump, folder, seconds)
    lengths_s = (size.audio_s, size.audio_s)
    rows = list(write_shards(folder / "dump", joined(sources, seconds, lengths_s), SHARD_S))
    audio = TrainSet(folder=folder, size=size, utterances=len(rows), origin=origin)
    train = audio.dump / "train"
    write_index(train / "index.arrow", table_of(rows))
    write_kaldi_files(folder, rows)
    write_all_labels(audio, Index.open(train))
    plan = PlanConfig(batch_bins=audio.batch_bins, bucket_s=[size.audio_s])
    build_plan(train / "index.arrow", train / "plan", plan, SEED)
    (audio.dump / "valid").symlink_to("train")
    bank = few_clips(BankConfig()) if size == TINY else BANK
    write_noise(audio.dump / "noise", bank, SEED, train / "index.arrow", None)
    write_rooms(audio.dump / "rirs", bank, SEED)
    for kind in ("noise", "rirs"):
        write_bank_for_peers(folder, kind)
    return audio


def write_all_labels(audio: TrainSet, index: Index) -> None:
    """The same random labels for both sides, and what else ESPnet's recipe would have made."""
    frames = num_frames(round(audio.size.audio_s * SAMPLE_RATE_HZ))
    shape = (audio.utterances, frames)
    ids = rng_for(SEED, "labels").integers(audio.size.classes, size=shape, dtype=np.uint16)
    folder = audio.dump / "train" / "labels" / TAG
    for shard in index.each_shard():
        flat = ids[shard.rows.start : shard.rows.stop].ravel()
        write_labels(folder / f"{shard.name.replace('/', '.')}.u16", flat)
    write_info(
        folder,
        LabelsInfo(num_clusters=audio.size.classes, teacher="random", layer=0, codebook_sha256="",
                   index_sha256=index.fingerprint),
    )  # fmt: skip
    with open(audio.folder / "text", "w", encoding="utf-8") as file:
        for utt_id, row in zip(index.utt_ids[:], ids, strict=True):
            file.write(f"{utt_id} {' '.join(map(str, row))}\n")
    tokens = [*map(str, range(audio.size.classes)), "<unk>"]  # ids are the labels themselves
    (audio.folder / "tokens.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    (audio.folder / "utt2num_samples").rename(audio.folder / "speech_shape")


def our_section(size: Size) -> dict[str, Any]:
    """Section ``pretrain`` of our recipe, clean, in float32."""
    return {
        "frontend": "wav2vec_cnn",
        "frontend_conf": {
            "shapes": [[size.channels, kernel, stride] for kernel, stride in STRIDES],
            "norm_mode": "layer_norm", "conv_mode": "standard", "bias": True,
            "normalize_audio": True,
        },
        "preencoder": "linear", "preencoder_conf": {"output_size": size.width},
        "encoder": "e_branchformer", "encoder_conf": encoder_conf(size),
        "masker": "hubert", "masker_conf": mask_conf(),
        "loss": "hubert_ce",
        "loss_conf": {"num_classes": size.classes, "final_dim": size.width},
        "model_conf": {"feature_grad_mult": 1.0, "feature_penalty_weight": 0.0},
        "init": "xavier_uniform",
        "max_steps": NEVER,
        "optim": "adam", "optim_conf": {"lr": LEARNING_RATE},
        "scheduler": "warmuplr", "scheduler_conf": {"warmup_steps": WARMUP_STEPS},
        "grad_clip": GRAD_CLIP, "train_dtype": "float32", "num_workers": 1,
        "valid_interval_steps": 0, "save_interval_steps": NEVER,
        "intermediate_interval_steps": NEVER,
    }  # fmt: skip


def augmented_phase() -> dict[str, Any]:
    """The only phase of an augmented run: the paper's chances."""
    mixing = MixConfig()
    return {"noise_prob": mixing.noise_prob, "rir_prob": mixing.rir_prob}


def our_command(
    audio: TrainSet, name: str, changes: dict[str, Any], ranks: int = 1
) -> tuple[list[str], Path]:
    """The pre-training command of a run, after the interpreter, and the run's folder."""
    folder = audio.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    section = {**our_section(audio.size), **changes}
    save_yaml(folder / "recipe.yaml", {"seed": SEED, "pretrain": section})
    command = [
        "-m", "espnet2.bin.pretrain", "--conf", str(folder / "recipe.yaml"),
        "--dump", str(audio.dump), "--labels_tag", TAG, "--exp", str(folder / "exp"),
        "--log_dir", str(folder / "log"), "--ranks", str(ranks),
    ]  # fmt: skip
    return command, folder / "exp"


def peer_config(audio: TrainSet, log_interval: int, is_augmented: bool) -> dict[str, Any]:
    """ESPnet's YAML of the same run: data apart, what its recipe gives ``ssl_train``."""
    mixing = MixConfig()
    low, high = mixing.noise_snr_db
    collate = {"pad": False, "rand_crop": True, "crop_audio": True, "label_downsampling": 1}
    if is_augmented:
        collate |= {
            "mix_speech": True, "noise_scp": str(audio.folder / "noise.scp"),
            "noise_apply_prob": mixing.noise_prob, "noise_db_range": f"{low:g}_{high:g}",
            "dynamic_mixing_prob": 1 - mixing.speech_share,
            "dynamic_mixing_gain_db": mixing.speech_snr_db[1],
            "reverb_speech": True, "rir_scp": str(audio.folder / "rirs.scp"),
            "rir_apply_prob": mixing.rir_prob,
        }  # fmt: skip
    model = model_config(audio.size)
    for key in ("token_list", "input_size"):
        del model[key]
    return {
        **model,
        "collate_fn_conf": collate, "token_type": "word",
        "batch_type": "numel", "batch_bins": audio.batch_bins, "accum_grad": 1,
        "optim": "adam", "optim_conf": {"lr": LEARNING_RATE},
        "scheduler": "warmuplr", "scheduler_conf": {"warmup_steps": WARMUP_STEPS},
        "grad_clip": GRAD_CLIP, "train_dtype": "float32", "use_amp": False, "num_workers": 1,
        "max_epoch": 1, "num_iters_per_epoch": NEVER // 100, "log_interval": log_interval,
        "num_att_plot": 0, "use_tensorboard": False, "seed": SEED,
    }  # fmt: skip


def peer_command(
    audio: TrainSet, name: str, log_interval: int, is_augmented: bool
) -> tuple[list[str], Path]:
    """ESPnet's training command as the last stage of its recipe gives it, and the run's folder."""
    folder, data = audio.folder / name, audio.folder
    folder.mkdir(parents=True)
    save_yaml(folder / "train.yaml", peer_config(audio, log_interval, is_augmented))
    command = [
        "-m", "espnet2.bin.ssl_train", "--config", str(folder / "train.yaml"),
        "--use_preprocessor", "true", "--normalize", "null", "--resume", "true",
        "--token_list", str(data / "tokens.txt"), "--output_dir", str(folder / "exp"),
    ]  # fmt: skip
    for part in ("train", "valid"):
        command += [
            f"--{part}_data_path_and_name_and_type", f"{data / 'wav.scp'},speech,kaldi_ark",
            f"--{part}_data_path_and_name_and_type", f"{data / 'text'},text,text",
            f"--{part}_shape_file", str(data / "speech_shape"),
        ]  # fmt: skip
    return command, folder / "exp"
