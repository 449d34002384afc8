"""A spike is seen against its own phase, and a collapse once."""

import pytest

from espnet2.train.alarms import Collapse, Spikes


def look_at(spikes, losses, phase=0):
    return [spikes.look(phase, loss) for loss in losses]


def test_a_loss_far_above_the_recent_median_is_a_spike():
    spikes = Spikes(1.5)
    assert look_at(spikes, [5.0, 4.9, 4.8, 4.9, 4.7, 4.8]) == [""] * 6
    assert spikes.look(0, 9.6) == "loss 9.600 is 2.0 times its recent median 4.850"
    assert spikes.reason_to_go_back() == ""


def test_a_spike_that_lasts_is_a_reason_to_go_back():
    spikes = Spikes(1.5)
    look_at(spikes, [5.0] * 6 + [9.0, 9.0])
    assert spikes.reason_to_go_back() == ""
    spikes.look(0, 9.0)
    assert spikes.reason_to_go_back() == "the loss spike lasted 3 reports"
    spikes.look(0, 5.0)
    assert spikes.reason_to_go_back() == ""


def test_a_spike_does_not_raise_the_median_it_is_measured_by():
    spikes = Spikes(1.5)
    look_at(spikes, [4.0] * 6)
    assert all(look_at(spikes, [8.0] * 30))


def test_a_new_phase_has_a_level_of_its_own():
    spikes = Spikes(1.5)
    look_at(spikes, [4.0] * 6)
    assert look_at(spikes, [8.0] * 6, phase=1) == [""] * 6
    assert spikes.look(1, 13.0)


@pytest.mark.parametrize("count", [0, 4])
def test_the_first_reports_are_never_spikes(count):
    spikes = Spikes(1.5)
    look_at(spikes, [4.0] * count)
    assert spikes.look(0, 400.0) == ""


def test_a_ratio_of_zero_looks_for_nothing():
    assert look_at(Spikes(0), [4.0] * 9 + [400.0]) == [""] * 10


def row(step, bits):
    return {"step": step, "label_entropy": 10.0, "prediction_entropy": bits}


def test_predictions_that_fall_to_one_cluster_sound_the_alarm_once():
    collapse = Collapse()
    assert [collapse.look(row(step, bits)) for step, bits in ((1, 0.1), (2, 0.5), (3, 6.0))] == [
        "", "", "",
    ]  # fmt: skip
    alarm = collapse.look(row(4, 0.5))
    assert alarm == "predictions have collapsed: their entropy is 0.50 bits, the labels' 10.00"
    assert collapse.look(row(5, 0.5)) == ""
    assert collapse.look(row(6, 5.0)) == ""
    assert collapse.look(row(7, 0.5)) == alarm


def test_a_model_that_never_leaves_one_cluster_is_noticed_too():
    collapse = Collapse()
    assert collapse.look(row(3000, 0.2)) == ""
    assert "collapsed" in collapse.look(row(3001, 0.2))


def test_a_model_without_clusters_is_left_alone():
    assert Collapse().look({"step": 9999}) == ""
