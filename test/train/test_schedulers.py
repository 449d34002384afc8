"""Learning rates against the tables that ESPnet's own classes gave."""

import pytest

from espnet2.train.schedulers import build_schedule
from espnet2.utils.errors import ConfigError

# updates made so far -> learning rate, from ESPnet's schedulers (n = number of step() calls).
WARMUP_3E4_32K = {
    0: 9.375e-09, 1: 1.875e-08, 9: 9.375e-08, 15999: 0.00015, 31998: 0.000299990625,
    31999: 0.0003, 32000: 0.0002999953126098604, 334999: 9.27200891143507e-05,
    669999: 6.556300376497837e-05,
}  # fmt: skip
WARMUP_5E4_25K = {0: 2e-08, 15999: 0.00032, 31998: 0.00044194864374310033, 63999: 0.0003125}
NOAM_1_1024_32K = {
    0: 5.459150335692846e-09, 999: 5.459150335692846e-06, 31999: 0.00017469281074217107,
    669999: 3.8177951361345386e-05,
}  # fmt: skip
NOAM_10_DEFAULT = {0: 1.4142135623730952e-07, 31999: 0.003125, 334999: 0.0009658342616078199}


@pytest.mark.parametrize(
    ("name", "lr", "conf", "table"),
    [
        ("warmuplr", 3e-4, {"warmup_steps": 32000}, WARMUP_3E4_32K),
        ("warmuplr", 5e-4, {}, WARMUP_5E4_25K),
        ("noamlr", 1.0, {"model_size": 1024, "warmup_steps": 32000}, NOAM_1_1024_32K),
        ("noamlr", 10.0, {}, NOAM_10_DEFAULT),
    ],
)
def test_learning_rates_equal_espnets_tables(name, lr, conf, table):
    schedule = build_schedule(name, conf)
    for updates, expected in table.items():
        assert lr * schedule.factor(updates) == pytest.approx(expected, rel=1e-12)


def test_tristage_rises_holds_and_decays():
    schedule = build_schedule("tristagelr", {"max_steps": 100})
    assert schedule.factor(0) == pytest.approx(0.01 + 0.99 / 10)
    assert schedule.factor(8) == pytest.approx(0.01 + 0.99 * 9 / 10)
    assert {schedule.factor(n) for n in range(9, 50)} == {1.0}
    assert schedule.factor(74) == pytest.approx(0.1)  # half of the decay: the root of 0.01
    assert schedule.factor(99) == schedule.factor(500) == pytest.approx(0.01)


def test_no_scheduler_keeps_the_rate():
    assert build_schedule(None, {}).factor(10**6) == 1.0


@pytest.mark.parametrize(
    ("name", "conf", "message"),
    [
        ("warmuplr", {"warmup_step": 5}, "did you mean 'warmup_steps'"),
        ("tristagelr", {"hold_ratio": 0.9}, "must sum to 1, got 1.5"),
    ],
)
def test_a_bad_schedule_is_refused(name, conf, message):
    with pytest.raises(ConfigError, match=message):
        build_schedule(name, conf)
