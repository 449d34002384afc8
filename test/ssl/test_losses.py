"""The losses beyond what the reference's vectors say, and the phases of training."""

import pytest
import torch

from espnet2.tasks.ssl import SSLTask

FRAMES, CLASSES = 24, 6


def tiny(**changes):
    torch.manual_seed(0)
    config = {
        "frontend_conf": {"shapes": [[8, 10, 5], *[[8, 3, 2]] * 4, *[[8, 2, 2]] * 2]},
        "encoder_conf": {"output_size": 16, "num_blocks": 3, "dropout_rate": 0.0},
        "loss": "hubert_ce",
        "loss_conf": {"num_classes": CLASSES, "final_dim": 8},
        "init": "xavier_uniform",
    }
    return SSLTask.build_model({**config, **changes})


def batch(lengths=(8000, 8000)):
    generator = torch.Generator().manual_seed(1)
    frames = [(n - 400) // 320 + 1 for n in lengths]
    width = max(frames)
    return {
        "speech": torch.randn(len(lengths), max(lengths), generator=generator),
        "speech_lengths": torch.tensor(lengths),
        "text": torch.randint(0, CLASSES, (len(lengths), width), generator=generator),
        "text_lengths": torch.tensor(frames),
        "mask_uniforms": torch.rand(len(lengths), 2 * width + 1, generator=generator),
    }


def losses_of(**conf):
    return {"loss_conf": {"num_classes": CLASSES, "final_dim": 8, **conf}}


@pytest.mark.parametrize("kind", ["hubert_ce", "hubert"])
def test_the_loss_sum_and_counts_are_those_of_the_meters(kind):
    model = tiny(loss=kind).eval()  # eval: no feature penalty
    out = model(**batch())
    (loss_sum, count), (correct, frames) = out.counts["masked_loss"], out.counts["masked_acc"]
    torch.testing.assert_close(out.loss_sum, loss_sum)
    assert out.weight == count == frames
    assert 0 <= correct <= frames
    assert out.counts["unmasked_acc"][1] + frames == 2 * FRAMES
    assert out.loss_sum.dtype == torch.float32


def test_visible_frames_join_the_loss_when_they_have_a_weight():
    base, both = tiny().eval(), tiny(**losses_of(unmasked_weight=0.5)).eval()
    both.load_state_dict(base.state_dict())
    out = both(**batch())
    masked, visible = out.counts["masked_loss"], out.counts["unmasked_loss"]
    torch.testing.assert_close(out.loss_sum, masked[0] + 0.5 * visible[0])
    assert out.weight == 2 * FRAMES


def test_the_feature_penalty_counts_in_training_only():
    model = tiny()
    trained, evaluated = model.train()(**batch()), model.eval()(**batch())
    penalty, masked = trained.counts["feature_penalty"]
    torch.testing.assert_close(trained.loss_sum, evaluated.loss_sum + 10 * penalty)
    feats, _ = model.features(torch.zeros(1, 400) + 0.1, torch.tensor([400]))
    assert feats.shape == (1, 1, 8)
    assert "feature_penalty" not in evaluated.counts


def test_the_front_ends_gradient_is_scaled_in_training_only():
    grads = {}
    for mode in (True, False):
        model = tiny(model_conf={"feature_penalty_weight": 0.0}).train(mode)
        model(**batch()).loss_sum.backward()
        grads[mode] = model.frontend.layers[0].conv.weight.grad
    torch.testing.assert_close(grads[True], 0.1 * grads[False], rtol=1e-5, atol=1e-4)


def test_a_padded_batch_has_the_sum_of_its_utterances_losses():
    model = tiny().eval()
    both = batch((8000, 5000))
    total = model(**both)
    parts = []
    for b, (samples, frames) in enumerate(((8000, 24), (5000, 15))):
        uniforms = both["mask_uniforms"][b : b + 1]
        u = torch.cat([uniforms[:, : frames + 1], uniforms[:, 25 : 25 + frames]], dim=1)
        parts.append(
            model(
                both["speech"][b : b + 1, :samples],
                both["speech_lengths"][b : b + 1],
                both["text"][b : b + 1, :frames],
                both["text_lengths"][b : b + 1],
                u,
            )
        )
    assert total.weight == sum(part.weight for part in parts)
    torch.testing.assert_close(total.loss_sum, sum(part.loss_sum for part in parts))


def test_set_phase_changes_masking_and_adds_the_same_loss_to_a_block():
    model = tiny().eval()
    plain = model(**batch()).loss_sum
    model.set_phase(inter_layer={2: 0.3})
    more = model(**batch()).loss_sum
    direct = tiny(**losses_of(layers=[1, -1], layer_weights=[0.3, 1.0])).eval()
    direct.load_state_dict(model.state_dict())
    torch.testing.assert_close(more, direct(**batch()).loss_sum)
    assert more > plain
    model.set_phase(mask_prob=0.65)
    assert model.masker.mask_prob == 0.65
    assert model.inter_layer == {1: 0.3}
    model.set_phase(inter_layer={})
    assert model.inter_layer == {}
    with pytest.raises(ValueError, match="there is no block 4 of 3"):
        model.set_phase(inter_layer={4: 1.0})


def test_a_mask_of_nothing_gives_a_zero_loss_with_a_gradient():
    model = tiny()
    model.set_phase(mask_prob=0.0)
    out = model(**batch())
    assert (out.loss_sum, out.weight) == (0, 0)
    out.loss_sum.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_every_parameter_gets_a_gradient():
    model = tiny().train()
    model(**batch()).loss_sum.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_six_steps_of_gradient_descent_lower_the_loss():
    model = tiny().train()
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    values = []
    for _ in range(6):
        out = model(**batch())
        optimizer.zero_grad()
        (out.loss_sum / out.weight).backward()
        optimizer.step()
        values.append(out.loss_sum.item())
    assert values[-1] < 0.8 * values[0]


def test_a_model_without_a_loss_says_so():
    with pytest.raises(ValueError, match="configured without a loss"):
        tiny(loss_conf={})(**batch())


@pytest.mark.parametrize("samples", [8000, 9999])
def test_gradients_in_bfloat16_point_where_those_in_float32_do(samples):
    model = tiny(model_conf={"feature_grad_mult": 1.0}).train()
    gradients = []
    for is_rounded in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_rounded):
            model(**batch((samples, samples))).loss_sum.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.99
