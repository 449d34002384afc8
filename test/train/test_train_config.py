"""Phases and limits of the training loop's configuration."""

import pytest

from espnet2.train.config import train_config
from espnet2.utils.errors import ConfigError

PAPER = [
    {"until": 3000, "mask_prob": 0.65, "inter_layer": {10: 0.3}},
    {"mask_prob": 0.8, "noise_prob": 0.2, "rir_prob": 0.3},
]


def test_a_phase_begins_where_the_one_before_ends():
    config = train_config({"max_steps": 9000, "phases": PAPER}, "mini.yaml")
    assert [config.phase_at(step).mask_prob for step in (0, 2999, 3000, 9000)] == [
        0.65, 0.65, 0.8, 0.8,
    ]  # fmt: skip
    assert config.phases[0].inter_layer == {10: 0.3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_step": 5}, "did you mean 'max_steps'"),
        ({"max_steps": 0}, "max_steps must be at least 1, got 0"),
        ({"phases": []}, "at least one phase"),
        ({"phases": [{}, {"until": 9}]}, r"phases\[0\].until is required"),
        ({"phases": [{"until": 9}, {"until": 9}]}, r"phases\[1\].until must be above 9, got 9"),
        ({"phases": [{"until": 9}]}, "phases end at step 9, max_steps is 50"),
        (
            {"phases": [{"until": 60}, {}]},
            r"phases\[1\] begins at step 60, max_steps is 50: it is never reached; drop",
        ),
        ({"ema_decay": 1.0}, "ema_decay must lie between 0 and 1, got 1.0"),
        ({"spike_ratio": 0.5}, r"spike_ratio must be above 1 \(0 looks for no spike\), got 0.5"),
        ({"max_unreadable_ratio": 2}, "max_unreadable_ratio must lie in 0..1, got 2"),
        ({"watchdog_s": 0}, "watchdog_s must be at least 1, got 0"),
        ({"keep_nbest_models": -1}, "keep_nbest_models must not be negative, got -1"),
        (
            {"parallel": "fsdp", "ddp_comm_hook": "bf16"},
            "ddp_comm_hook belongs to parallel: ddp",
        ),
        ({"phases": [{"noise_prob": 2}]}, r"noise_prob must lie in 0..1, got 2"),
        ({"optim_conf": {"lr": "3e-4"}}, "write 3.0e-4"),
        ({"optim_conf": {"lr": -1.0}}, "optim_conf.lr must be positive"),
        ({"scheduler": "warmup"}, "must be one of warmuplr, noamlr, tristagelr"),
        ({"scheduler": "noamlr", "scheduler_conf": {"width": 3}}, "width is not a known key"),
    ],
)
def test_a_bad_value_is_one_clear_sentence(change, message):
    with pytest.raises(ConfigError, match=message):
        train_config({"max_steps": 50, **change}, "mini.yaml")


def test_the_stages_of_tristagelr_are_shares_of_the_runs_own_length():
    ratios = {"warmup_ratio": 0.1, "hold_ratio": 0.4, "decay_ratio": 0.5, "final_lr_scale": 0.05}
    config = train_config(
        {"max_steps": 200, "scheduler": "tristagelr", "scheduler_conf": ratios}, "mini.yaml"
    )
    factors = [config.schedule().factor(updates) for updates in (19, 99, 199)]
    assert factors == pytest.approx([1.0, 1.0, 0.05])
