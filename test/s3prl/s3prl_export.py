"""An export folder small enough for a test of s3prl."""

import torch
import yaml
from safetensors.torch import save_file

from espnet2.tasks.ssl import SSLTask

HIDDEN, NUM_BLOCKS = 16, 3
WIDTH = 8  # of the front end
SHAPES = [[WIDTH, 10, 5], *[[WIDTH, 3, 2]] * 4, *[[WIDTH, 2, 2]] * 2]
MODEL = {
    "frontend": "wav2vec_cnn",
    "frontend_conf": {"normalize_audio": True, "shapes": SHAPES},
    "preencoder": "linear",
    "preencoder_conf": {"output_size": HIDDEN},
    "encoder": "e_branchformer",
    "encoder_conf": {
        "output_size": HIDDEN, "attention_heads": 2, "num_blocks": NUM_BLOCKS,
        "cgmlp_linear_units": 32, "cgmlp_conv_kernel": 7, "linear_units": 32,
        "input_layer": "wav2vec", "dropout_rate": 0.1,
    },
    "masker": "hubert",
    "masker_conf": {"mask_prob": 0.65, "mask_length": 4},
    "loss": "hubert_ce",
    "loss_conf": {"final_dim": 8, "num_classes": 4},
}  # fmt: skip


def write_export(folder):
    """model.safetensors and config.yaml, as stage 9 leaves them; returns ``folder``."""
    torch.manual_seed(1)
    model = SSLTask.build_model(MODEL)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: x.contiguous() for name, x in model.state_dict().items()},
        folder / "model.safetensors",
    )
    (folder / "config.yaml").write_text(yaml.safe_dump(MODEL))
    return folder
