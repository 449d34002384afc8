"""What is counted on the device equals what a plain loop counts."""

import math
from collections import Counter

import pytest
import torch

from espnet2.nn.loss_output import FrameOutcome
from espnet2.train.distributed import World
from espnet2.train.frame_meters import ClusterMeter, LanguageMeter

CPU, ALONE = torch.device("cpu"), World()


def outcome(seed, rows=4, frames=50, clusters=7):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(clusters, (rows, frames), generator=draw)
    is_right = torch.rand(rows, frames, generator=draw) < 0.3
    others = torch.randint(clusters, (rows, frames), generator=draw)
    return FrameOutcome(
        labels=labels,
        predictions=labels.where(is_right, others),
        loss=torch.rand(rows, frames, generator=draw),
        is_masked=torch.rand(rows, frames, generator=draw) < 0.6,
    )


def bits(counter):
    total = sum(counter.values())
    return -sum(n / total * math.log2(n / total) for n in counter.values())


def test_entropies_are_those_of_the_masked_frames_of_the_interval():
    meter, outcomes = ClusterMeter(CPU), [outcome(seed) for seed in (1, 2)]
    for one in outcomes:
        meter.add(one)
    labels, predictions = Counter(), Counter()
    for one in outcomes:
        labels.update(one.labels[one.is_masked].tolist())
        predictions.update(one.predictions[one.is_masked].tolist())
    read = meter.read(ALONE)
    assert read["label_entropy"] == pytest.approx(bits(labels))
    assert read["prediction_entropy"] == pytest.approx(bits(predictions))
    assert read["clusters_used"] == len(predictions) == 7


def test_a_model_that_always_says_the_same_has_no_entropy():
    meter, one = ClusterMeter(CPU), outcome(1)
    collapsed = FrameOutcome(
        labels=one.labels, predictions=torch.full_like(one.labels, 65_535), loss=one.loss,
        is_masked=one.is_masked,
    )  # fmt: skip
    meter.add(collapsed)
    read = meter.read(ALONE)
    assert (read["prediction_entropy"], read["clusters_used"]) == (0.0, 1)
    assert read["label_entropy"] > 2.5


def test_an_interval_starts_from_zero():
    meter = ClusterMeter(CPU)
    meter.add(outcome(1))
    first = meter.read(ALONE)
    assert meter.read(ALONE) == {}
    meter.add(outcome(2))
    meter.clear()
    meter.add(outcome(1))
    assert meter.read(ALONE) == first


def test_where_nothing_is_masked_there_is_no_entropy():
    meter, one = ClusterMeter(CPU), outcome(1)
    nothing = torch.zeros_like(one.is_masked)
    meter.add(
        FrameOutcome(
            labels=one.labels, predictions=one.predictions, loss=one.loss, is_masked=nothing
        )
    )
    assert meter.read(ALONE) == {}


def test_frames_count_for_the_language_they_come_from():
    """A packed row holds utterances of several languages."""
    meter, one = LanguageMeter(5, CPU), outcome(3)
    languages = torch.tensor([[0] * 50, [4] * 50, [0] * 20 + [2] * 30, [3] * 50]).short()
    one.loss[1, 7] = torch.nan  # of a step that is skipped
    one.is_masked[1, 7] = True
    one.is_masked[3] = False
    meter.add(one, languages)
    loss, right, masked, frames = meter.read(ALONE)
    assert frames == [70, 0, 30, 50, 50]
    for code in range(5):
        where = (languages == code) & one.is_masked & one.loss.isfinite()
        assert masked[code] == where.sum()
        assert right[code] == (one.predictions == one.labels)[where].sum()
        assert loss[code] == pytest.approx(float(one.loss[where].sum()), rel=1e-6)
    assert masked[3] == 0
    assert meter.read(ALONE) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_no_meter_makes_the_host_wait_for_the_gpu():
    gpu = torch.device("cuda")
    clusters, languages, one = ClusterMeter(gpu), LanguageMeter(5, gpu), outcome(1)
    moved = FrameOutcome(**{name: value.to(gpu) for name, value in vars(one).items()})
    codes = torch.randint(5, (4, 50)).short()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            clusters.add(moved)
            languages.add(moved, codes)
        clusters.clear()
        clusters.add(moved)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    on_host = ClusterMeter(CPU)
    on_host.add(one)
    assert clusters.read(ALONE) == pytest.approx(on_host.read(ALONE))
    assert languages.read(ALONE)[3] == [2 * int((codes == code).sum()) for code in range(5)]
