"""Skipped steps and unreadable audio are listed by name, and too many end or turn a run."""

import shutil

import pytest
import torch

from espnet2.nn.loss_output import LossOutput
from espnet2.train.config import TrainConfig
from espnet2.train.distributed import World
from espnet2.train.guards import Guards
from espnet2.train.trainer import StepOutcome
from espnet2.utils.errors import TrainingError

ROW = {"step": 4, "loss": 3.0, "skipped": 0.5}


def guards_in(folder, **changes):
    return Guards(folder, TrainConfig(max_steps=9, **changes), World())


def outcome(*losses, skipped=False):
    """Of a step with a micro-batch for each loss."""
    outputs = [LossOutput(loss_sum=torch.tensor(x), weight=torch.tensor(1.0)) for x in losses]
    return StepOutcome(
        outputs=outputs, norm=torch.tensor(1.0), skipped=torch.tensor(float(skipped)),
        learning_rate=0.1,
    )  # fmt: skip


def batches(*ids, replaced=()):
    return [{"utt_ids": list(part), "replaced": list(replaced)} for part in ids]


def test_the_utterances_of_a_skipped_step_are_named_with_the_reason(tmp_path):
    guards = guards_in(tmp_path)
    guards.note(7, outcome(1.0, 2.0), batches("ab", "cd"))
    guards.note(8, outcome(1.0, float("nan"), skipped=True), batches("ef", "gh"))
    guards.note(9, outcome(1.0, 2.0), batches("ij", "kl"))
    assert guards.look(ROW) == ([], "")
    assert (tmp_path / "skipped/rank_000.tsv").read_text().splitlines() == [
        "batch\tutt_id\treason",
        "8\te\tgradient not finite",
        "8\tf\tgradient not finite",
        "8\tg\tloss not finite",
        "8\th\tloss not finite",
    ]


def test_a_run_without_trouble_leaves_no_table(tmp_path):
    guards = guards_in(tmp_path)
    guards.note(1, outcome(1.0), batches("ab"))
    guards.look(ROW)
    assert list(tmp_path.iterdir()) == []


def test_skipped_steps_in_a_row_are_counted_across_reports(tmp_path):
    guards = guards_in(tmp_path, rollback_after=3)
    for number in (1, 2):
        guards.note(number, outcome(1.0, skipped=True), batches("a"))
    assert guards.look(ROW) == ([], "")
    guards.note(3, outcome(1.0, skipped=True), batches("a"))
    assert guards.look(ROW) == ([], "3 steps in a row had no finite gradient")


def test_a_good_step_begins_the_count_again(tmp_path):
    guards = guards_in(tmp_path, rollback_after=3)
    for number, skipped in enumerate((True, True, False, True, True)):
        guards.note(number, outcome(1.0, skipped=skipped), batches("a"))
    assert guards.look(ROW) == ([], "")


def test_unreadable_audio_is_listed_and_a_little_of_it_borne(tmp_path):
    guards = guards_in(tmp_path, max_unreadable_ratio=0.0002)
    for number in (4, 5):
        guards.note(number, outcome(1.0), batches("a", replaced=[("u\t1", "cut\nshort")]))
    guards.look(ROW)
    lines = (tmp_path / "unreadable/rank_000.tsv").read_text().splitlines()
    assert lines[1:] == ["4\tu 1\tcut short", "5\tu 1\tcut short"]
    guards.note(6, outcome(1.0), batches("a", replaced=[("u2", "gone")]))
    with pytest.raises(TrainingError, match=r"3 of 3 rows could not be read .* is 0.0002.*unread"):
        guards.look(ROW)


def test_lines_of_batches_that_will_come_again_go_when_a_run_is_resumed(tmp_path):
    guards = guards_in(tmp_path)
    for number in (4, 5):
        guards.note(number, outcome(1.0), batches("a", replaced=[("u", "gone")]))
    path = tmp_path / "unreadable/rank_000.tsv"
    with open(path, "a") as file:
        file.write("5\tcut by a cra")
    gone, there = path.with_name("rank_002.tsv"), path.with_name("rank_001.tsv")
    for other in (gone, there):
        shutil.copy(path, other)
    Guards(tmp_path, TrainConfig(max_steps=9), World(rank=0, size=2)).go_on_after(4)
    for cut in (path, gone):
        assert cut.read_text() == "batch\tutt_id\treason\n4\tu\tgone\n"
    assert "cut by" in there.read_text()  # its own rank does it


def test_a_resumed_run_comes_to_the_same_verdict(tmp_path):
    guards, resumed = guards_in(tmp_path, rollback_after=2), guards_in(tmp_path, rollback_after=2)
    for loss in [5.0] * 6 + [9.0, 9.0]:
        guards.look(ROW | {"loss": loss})
    guards.note(1, outcome(1.0, skipped=True), batches("a"))
    guards.look(ROW)
    resumed.load_state_dict(guards.state_dict())
    for side in (guards, resumed):
        side.note(2, outcome(1.0, skipped=True), batches("a"))
    assert guards.look(ROW) == resumed.look(ROW) == ([], "2 steps in a row had no finite gradient")
    assert resumed.spikes.state_dict() == guards.spikes.state_dict()
