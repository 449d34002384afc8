"""A dump folder, a recipe and a model small enough to pre-train in a test."""

import numpy as np
import yaml

from espnet2.data.audio import content_hash, encode_flac
from espnet2.data.banks import Clip, write_bank
from espnet2.data.config import PlanConfig
from espnet2.data.frames import num_frames
from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.labels import LabelsInfo, write_info, write_labels
from espnet2.data.plan import build_plan
from espnet2.data.shards import write_record

TAG, NUM_CLUSTERS, SHARD = "tiny", 4, "toy/shards/000.ark"

MODEL = {
    "frontend": "wav2vec_cnn",
    "frontend_conf": {
        "normalize_audio": True,
        "shapes": [[8, 10, 5], [8, 3, 2], [8, 3, 2], [8, 3, 2], [8, 3, 2], [8, 2, 2], [8, 2, 2]],
    },
    "preencoder": "linear",
    "preencoder_conf": {"output_size": 16},
    "encoder": "e_branchformer",
    "encoder_conf": {
        "output_size": 16, "attention_heads": 2, "num_blocks": 1, "cgmlp_linear_units": 16,
        "cgmlp_conv_kernel": 3, "input_layer": "wav2vec", "dropout_rate": 0.1,
    },
    "masker": "hubert",
    "masker_conf": {"mask_prob": 0.65, "mask_length": 4},
    "loss": "hubert_ce",
    "loss_conf": {"final_dim": 8},
}  # fmt: skip
TRAINING = {
    "max_steps": 6, "optim_conf": {"lr": 0.003}, "train_dtype": "float32", "num_workers": 0,
    "log_interval_steps": 2, "valid_interval_steps": 3, "valid_batches": 2,
    "save_interval_steps": 2, "intermediate_interval_steps": 2,
    "phases": [{"until": 3, "inter_layer": {1: 0.3}}, {"noise_prob": 0.5, "rir_prob": 0.5}],
}  # fmt: skip


def make_dump(dump):
    """``dump/{train,valid}`` with labels and plans, and both banks; returns ``dump``."""
    for name, count in (("train", 12), ("valid", 6)):
        make_set(dump, name, count)
    rng = np.random.default_rng(1)
    write_bank(dump / "noise", [Clip(samples=rng.normal(0, 0.1, 9000), kind="noise")])
    write_bank(dump / "rirs", [Clip(samples=np.exp(-np.arange(400) / 90), kind="rir")])
    return dump


def make_set(dump, name, count):
    """One set; frame t of utterance i has label (i + t // 8) % NUM_CLUSTERS."""
    rng = np.random.default_rng(count)
    shard = SHARD.replace("toy", name + "_toy")
    (dump / shard).parent.mkdir(parents=True)
    rows, labels = [], []
    with (dump / shard).open("wb") as ark:
        for i, length in enumerate(rng.integers(6400, 9600, count)):
            samples = rng.integers(-6000, 6000, length).astype(np.int16)
            record = write_record(ark, f"{name}{i:02d}", encode_flac(samples))
            rows.append(
                IndexedUtterance(
                    utt_id=f"{name}{i:02d}", recording=f"{name}{i:02d}", shard=shard,
                    offset=record.offset, nbytes=record.nbytes, num_samples=int(length),
                    language="eng", corpus="toy", speaker="s",
                    content_hash=content_hash(samples),
                )
            )  # fmt: skip
            labels.append((i + np.arange(num_frames(int(length))) // 8) % NUM_CLUSTERS)
    write_index(dump / name / "index.arrow", table_of(rows))
    folder = dump / name / "labels" / TAG
    write_labels(folder / f"{shard.replace('/', '.')}.u16", np.concatenate(labels))
    index_hash = Index.open(dump / name).fingerprint
    write_info(
        folder,
        LabelsInfo(
            num_clusters=NUM_CLUSTERS, teacher="t", layer=0, codebook_sha256="",
            index_sha256=index_hash,
        ),
    )  # fmt: skip
    config = PlanConfig(batch_bins=32_000, batch_multiple=2, num_buckets=2)
    build_plan(dump / name / "index.arrow", dump / name / "plan", config, seed=3)


def write_recipe(path, **changes):
    """A recipe YAML with the tiny model; ``changes`` replace keys of ``pretrain``."""
    recipe = {"seed": 5, "pretrain": {**MODEL, **TRAINING, **changes}}
    path.write_text(yaml.safe_dump(recipe))
    return path
