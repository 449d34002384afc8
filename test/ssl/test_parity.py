"""Our numbers against the reference's."""

import pytest
import torch
import torch.nn.functional as F

from espnet2.nn import cgmlp, cnn_frontend, e_branchformer
from espnet2.ssl import espnet_model
from espnet2.ssl.interop import our_names
from espnet2.ssl.losses import Targets

TOLERANCE = 1e-5  # of the largest absolute value
LOSS_TOLERANCE = 1e-6
# Gradients of these are zero in exact arithmetic: a key bias shifts all scores of a row alike.
ZERO_GRADIENTS = "attn.linear_k.bias"
BOTH = [(layout, config) for layout in ("old", "new") for config in ("xeus", "group")]


def assert_near(ours, theirs, tolerance=TOLERANCE):
    assert ours.shape == theirs.shape
    error = (ours - theirs).abs().max() / theirs.abs().max()
    assert error <= tolerance, f"relative error {error:.1e}"


@pytest.fixture
def leaky(monkeypatch):
    """Treat padding as the reference does in a batch, so that its batch values compare."""
    for module in (e_branchformer, cgmlp):
        monkeypatch.setattr(module, "zero_padding", lambda x, padding: x)
    monkeypatch.setattr(
        cnn_frontend, "normalize_waveform", lambda x, padding: F.layer_norm(x, x.shape, eps=1e-5)
    )
    monkeypatch.setattr(espnet_model, "mean_square", lambda x, padding: x.square().mean()[None])


@pytest.mark.parametrize(("layout", "config"), BOTH)
@torch.no_grad()
def test_every_layer_of_a_single_utterance_equals_the_reference(reference, layout, config):
    ref = reference(layout, config)
    model = ref.model()
    for b, length in enumerate(ref.lengths):
        out = model.encode(ref.wavs[b : b + 1, :length], length[None], use_final_output=False)
        assert len(out.layers) == len(ref.tensors(f"single{b}")) - 1
        for i, layer in enumerate(out.layers):
            assert_near(layer, ref.tensor(f"single{b}/layer{i}"))


@pytest.mark.parametrize(("layout", "config"), BOTH)
@torch.no_grad()
def test_every_utterance_of_a_padded_batch_equals_the_reference_alone(reference, layout, config):
    ref = reference(layout, config)
    out = ref.model().encode(ref.wavs, ref.lengths, use_final_output=False)
    for b, frames in enumerate(out.lengths):
        for i, layer in enumerate(out.layers):
            assert_near(layer[b : b + 1, :frames], ref.tensor(f"single{b}/layer{i}"))


@pytest.mark.parametrize("layout", ["old", "new"])
@pytest.mark.parametrize("folder", ["nomask", "nomask_final"])
@torch.no_grad()
def test_the_leaks_of_the_reference_explain_its_batch_values(reference, leaky, layout, folder):
    ref = reference(layout)
    out = ref.model().encode(ref.wavs, ref.lengths, use_final_output=folder == "nomask_final")
    for i, layer in enumerate(out.layers):
        assert_near(layer, ref.tensor(f"{folder}/layer{i}"))


@pytest.mark.parametrize("layout", ["old", "new"])
@torch.no_grad()
def test_masked_features_equal_the_reference(reference, leaky, layout):
    ref = reference(layout)
    model = ref.model()
    model.masker.draw = lambda *_: ref.tensor("mask")
    out = model.encode(ref.wavs, ref.lengths, use_mask=True)
    for i, layer in enumerate(out.layers):
        assert_near(layer, ref.tensor(f"mask_eval/layer{i}"))
    is_masked = ref.tensor("mask_eval/mask_m")
    assert torch.equal(out.mask_info["mask_m"], is_masked)
    is_real = torch.arange(is_masked.shape[1]) < out.lengths[:, None]
    assert torch.equal(out.mask_info["mask_u"], ~is_masked & is_real)  # theirs counts padding


@pytest.mark.parametrize("config", ["xeus", "group"])
@torch.no_grad()
def test_feature_penalty_of_an_utterance_equals_the_reference(reference, config):
    ref = reference("old", config)
    feats, frames = ref.model().features(ref.wavs, ref.lengths)
    padding = e_branchformer.padding_for(frames, feats.shape[1], feats.device)
    theirs = torch.stack([ref.tensor(f"single{b}/feature_penalty") for b in range(3)])
    assert_near(espnet_model.mean_square(feats, padding), theirs)


LOSSES = [
    ("old", "loss_ce", "hubert_ce", {}),
    ("old", "loss_cos", "hubert", {}),
    (
        "old",
        "loss_ce_u",
        "hubert_ce",
        {
            "layers": [0, -1],
            "layer_weights": [0.3, 1.0],
            "masked_weight": 0.8,
            "unmasked_weight": 0.3,
        },
    ),
    (
        "old",
        "loss_cos_u",
        "hubert",
        {"layers": [0, -1], "masked_weight": 0.8, "unmasked_weight": 0.3},
    ),
    ("new", "loss_ce", "hubert", {}),
    ("new", "loss_ce2", "hubert", {"layers": [0, 2], "loss_weights": [0.3, 1.0]}),
]


@pytest.mark.parametrize(("layout", "folder", "name", "conf"), LOSSES)
def test_loss_of_a_training_forward_equals_the_reference(
    reference, leaky, layout, folder, name, conf
):
    ref = reference(layout)
    conf = {"num_classes": 20, "final_dim": 24, **conf}
    if layout == "old":
        model = ref.model(folder, loss=name, loss_conf=conf)
    else:
        model = ref.model(folder, loss=[{"name": name, "conf": conf}])
    model.train()
    feats, frames = model.features(ref.wavs, ref.lengths)
    padding = e_branchformer.padding_for(frames, feats.shape[1], feats.device)
    is_masked = ref.tensor("mask")
    x = model.masker.fill(model.project(feats, padding), is_masked)
    states = model.states(x, padding, use_final_output=True)
    labels = ref.tensor(f"{folder}/text").clamp(min=0)  # ce: -1 on padding, which has no weight
    out = model.loss(states, Targets(labels, is_masked, ~is_masked), feats, padding)
    total = out.loss_sum if layout == "old" else out.loss_sum / out.weight
    assert_near(total[None], ref.tensor(f"{folder}/loss"), LOSS_TOLERANCE)
    stats = {name: value.item() for name, value in ref.tensors(f"{folder}/stats").items()}
    (correct, count), (seen, visible) = out.counts["masked_acc"], out.counts["unmasked_acc"]
    if layout == "old":
        assert stats["hubert_correct_m"] == correct
        assert stats["hubert_count_m"] == count
        assert stats["hubert_correct_u"] == seen
        assert stats["hubert_count_u"] == visible
    else:  # its accuracy on visible frames repeats the one on masked frames
        assert stats["hubert_acc_m_2"] == pytest.approx((correct / count).item())
    cross_entropy = stats.get("hubert_losses_m_-1", stats.get("hubert_loss_m_2"))
    if folder in ("loss_ce", "loss_ce2"):  # weights 1
        loss, count = out.counts["masked_loss"]
        assert cross_entropy == pytest.approx((loss / count).item(), rel=LOSS_TOLERANCE)


@pytest.mark.parametrize("layout", ["old", "new"])
def test_gradients_of_cross_entropy_equal_the_reference(reference, leaky, layout):
    ref = reference(layout)
    model = ref.model("loss_ce").train()
    model.masker.draw = lambda *_: ref.tensor("mask")
    text = ref.tensor("loss_ce/text")
    out = model(ref.wavs, ref.lengths, text, torch.tensor([49, 38, 24]))
    (out.loss_sum if layout == "old" else out.loss_sum / out.weight).backward()
    from_reference = our_names(ref.tensors("loss_ce/grad"))
    for name, parameter in model.named_parameters():
        theirs = from_reference[name]
        if name.endswith(ZERO_GRADIENTS):
            assert parameter.grad.abs().max() < 1e-5
        else:
            assert_near(parameter.grad, theirs)
