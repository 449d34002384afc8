"""A tiny XEUS model on the disk, for teacher ``xeus``."""

import torch

from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.factory import build_model
from espnet2.ssl.interop import state_dict_as
from espnet2.utils.config import save_yaml

XEUS = {
    "frontend": "wav2vec_cnn",
    "frontend_conf": {
        "shapes": [[8, 10, 5], *[[8, 3, 2]] * 4, *[[8, 2, 2]] * 2],
        "normalize_audio": True,
    },
    "preencoder": "linear",
    "preencoder_conf": {"output_size": 16},
    "encoder": "e_branchformer",
    "encoder_conf": {
        "output_size": 16,
        "attention_heads": 2,
        "num_blocks": 3,
        "cgmlp_linear_units": 32,
        "cgmlp_conv_kernel": 3,
    },
}


def save_xeus(folder, scale=1.0):
    """Checkpoint (weights times ``scale``) and config.yaml; returns the model and its path."""
    torch.manual_seed(0)
    model = build_model(SSLModelConfig.from_espnet(XEUS)).eval()
    state = {name: scale * value for name, value in state_dict_as(model, "new").items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_yaml(folder / "config.yaml", XEUS)
    torch.save(state, folder / "model.pth")
    return model, folder / "model.pth"
