"""Our parts against the reference's: loss heads alone, mean normalisation, initial weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from espnet2.nn.padding import padding_for
from espnet2.nn.utterance_mvn import UtteranceMVN
from espnet2.ssl.losses import MaskedPredictionLoss, Targets, meters
from espnet2.ssl.part_configs import LossConfig
from espnet2.tasks.ssl import SSLTask

GOLDEN = Path(__file__).parent.parent / "golden"
ARRAYS = np.load(GOLDEN / "ssl_parts.npz")
NUMBERS = json.loads((GOLDEN / "ssl_parts.json").read_text())
PENALTY_WEIGHT = 10.0


def tensor(name):
    return torch.from_numpy(ARRAYS[name])


def tensors(folder):
    names = [name for name in ARRAYS.files if name.startswith(f"{folder}/")]
    return {name.removeprefix(f"{folder}/"): tensor(name) for name in names}


def relative(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


TWO_LAYERS = {"layers": (1, -1), "masked_weight": 0.7, "unmasked_weight": 0.2}
HEADS = [
    ("cos", "hubert", {}),
    ("cos_w", "hubert", TWO_LAYERS),
    ("ce", "hubert_ce", {}),
    ("ce_w", "hubert_ce", {**TWO_LAYERS, "layer_weights": (0.3, 1.0)}),
]


@pytest.mark.parametrize(("name", "kind", "conf"), HEADS, ids=[head[0] for head in HEADS])
def test_a_loss_head_alone_equals_the_reference_with_its_gradients(name, kind, conf):
    head = MaskedPredictionLoss(16, LossConfig(kind=kind, num_classes=11, final_dim=8, **conf))
    head.load_state_dict(tensors(f"loss/{name}/sd"))
    states = [tensor(f"loss/x{layer}").requires_grad_() for layer in range(3)]
    is_masked = tensor("loss/mask")
    targets = Targets(tensor("loss/y"), is_masked, ~is_masked)
    loss, outcome = head(states, targets, {})
    counts = meters(outcome, targets)
    penalty = PENALTY_WEIGHT * NUMBERS["loss_feature_penalty"] * is_masked.sum()
    assert relative(loss + penalty, tensor(f"loss/{name}/loss")) <= 1e-6
    for ours, theirs in (("masked_acc", "m"), ("unmasked_acc", "u")):
        stats = f"loss/{name}/stats/hubert"
        counted = [tensor(f"{stats}_correct_{theirs}"), tensor(f"{stats}_count_{theirs}")]
        assert list(counts[ours]) == counted
    loss.backward()
    for layer, state in enumerate(states):
        if f"loss/{name}/grad_x{layer}" in ARRAYS:
            assert relative(state.grad, tensor(f"loss/{name}/grad_x{layer}")) <= 1e-5
        else:
            assert state.grad is None
    gradients = tensors(f"loss/{name}/grad")
    assert set(gradients) == {key for key, _ in head.named_parameters()}
    for key, parameter in head.named_parameters():
        assert relative(parameter.grad, gradients[key]) <= 1e-5, key


def test_utterance_means_equal_the_reference_on_real_frames():
    lengths = tensor("umvn/lens").tolist()
    assert lengths == sorted(lengths, reverse=True)
    ours = UtteranceMVN()(tensor("umvn/in"), padding_for(lengths, lengths[0], "cpu"))
    for b, length in enumerate(lengths):
        assert relative(ours[b, :length], tensor("umvn/out_default")[b, :length]) <= 1e-6


def test_utterance_variances_equal_the_reference_without_padding():
    ours = UtteranceMVN(norm_vars=True)(tensor("umvn/in")[:1], None)
    assert relative(ours, tensor("umvn/out_vars")[:1]) <= 1e-6


@pytest.mark.parametrize(("init", "changed"), [("xavier_uniform", ()), ("None", ("csgu.conv",))])
def test_initial_weights_have_the_references_statistics(init, changed):
    """Without ``init`` our gates still start open, as the paper of cgMLP has it."""
    torch.manual_seed(1)
    config = json.loads(str(np.load(GOLDEN / "xeus_tiny_old.npz")["xeus/cfg"]))
    model = SSLTask.build_model({**config, "init": None if init == "None" else init})
    state = model.state_dict()
    for name, (shape, mean, std, low, high) in NUMBERS["init_stats"][init].items():
        ours = state[name]
        assert list(ours.shape) == shape, name
        if any(part in name for part in changed):
            continue
        if std == 0:
            assert torch.equal(ours, torch.full_like(ours, mean)), name
            continue
        # Two samples of n uniform or normal numbers: five standard errors.
        n = ours.numel()
        assert abs(ours.mean() - mean) < 5 * std * (2 / n) ** 0.5, name
        assert abs(ours.std() / std - 1) < 5 / n**0.5, name
        if "csgu" not in name:  # uniform: bounded
            bound = max(-low, high)
            assert ours.abs().max() < bound * (1 + 5 / n), name
