"""The loop in one process: cut batches, resumed runs, phases, refusals, stops."""

import contextlib
import os
import signal
import time

import pytest
import torch
from tiny_training import TinyBatches, TinyModel, run_tiny, tiny_config

from espnet2.train.checkpoint import load_tensors, newest_whole, save_tensors, step_path
from espnet2.train.distributed import World
from espnet2.train.loop import train
from espnet2.train.metrics import read_metrics
from espnet2.train.parallel import Parallel
from espnet2.train.trainer import Trainer
from espnet2.train.watchdog import Watchdog
from espnet2.utils.errors import ConfigError, TrainingError

ALONE = World()


def assert_same_weights(one, other, **tolerance):
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, other.state_dict()[name], **tolerance)


@pytest.mark.parametrize("accum_grad", [2, 4])
def test_accumulation_equals_the_whole_batch(tmp_path, accum_grad):
    whole, _ = run_tiny(tmp_path / "whole", ALONE, tiny_config())
    cut, _ = run_tiny(tmp_path / "cut", ALONE, tiny_config(accum_grad=accum_grad))
    assert_same_weights(whole, cut, atol=1e-6, rtol=0)


def test_only_the_last_micro_batch_of_a_step_exchanges_gradients():
    model, apart, seen = TinyModel(), [], []
    trainer = Trainer(model, tiny_config(accum_grad=4), ALONE, seed=3)

    @contextlib.contextmanager
    def without_sync():
        apart.append(True)
        yield
        apart.pop()

    trainer.parallel.without_sync = without_sync
    for layer in (model.layers[0], model.layers[2]):
        layer.weight.register_hook(lambda grad: seen.append(bool(apart)))
    trainer.update(TinyBatches(accum_grad=4).batch(0))
    assert seen == [True] * 6 + [False] * 2


def test_dropout_is_another_in_every_step_rank_and_micro_batch():
    def losses(step, rank):
        trainer = Trainer(TinyModel(dropout=0.5), tiny_config(), World(rank=rank), seed=3)
        trainer.step = step
        outcome = trainer.update(TinyBatches().batch(0) * 2)
        return [output.loss_sum.item() for output in outcome.outputs]

    assert losses(0, 0) == losses(0, 0)
    assert len({*losses(0, 0), *losses(0, 1), *losses(1, 0)}) == 6


def test_all_but_the_last_micro_batch_keep_their_gradients_to_themselves():
    class Counted(Parallel):
        kept = 0

        def without_sync(self):
            self.kept += 1
            return super().without_sync()

    trainer = Trainer(TinyModel(), tiny_config(), ALONE, seed=3)
    trainer.parallel = Counted(trainer.model)
    trainer.update(TinyBatches(accum_grad=4).batch(0))
    assert trainer.parallel.kept == 3


@pytest.mark.parametrize("stop", [3, 6, 7])
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path, stop):
    whole, _ = run_tiny(tmp_path / "whole", ALONE, tiny_config(), dropout=0.3)
    run_tiny(tmp_path / "parts", ALONE, tiny_config(max_steps=stop), dropout=0.3)
    resumed, summary = run_tiny(tmp_path / "parts", ALONE, tiny_config(), dropout=0.3)
    assert_same_weights(whole, resumed, atol=0, rtol=0)
    assert (summary["step"], summary["is_complete"]) == (12, True)


def test_rows_of_a_resumed_run_are_those_of_one_run(tmp_path):
    run_tiny(tmp_path / "whole", ALONE, tiny_config())
    run_tiny(tmp_path / "parts", ALONE, tiny_config(max_steps=6))
    run_tiny(tmp_path / "parts", ALONE, tiny_config())
    rows = [read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "parts")]
    losses = [[(row["step"], row["loss"]) for row in table] for table in rows]
    assert losses[0] == losses[1]
    assert [step for step, _ in losses[0]] == [2, 3, 4, 6, 8, 9, 10, 12]  # 3 and 9: checkpoints


def test_a_finished_run_does_nothing_more(tmp_path):
    first, _ = run_tiny(tmp_path, ALONE, tiny_config())
    again, summary = run_tiny(tmp_path, ALONE, tiny_config())
    assert_same_weights(first, again, atol=0, rtol=0)
    assert summary["is_complete"]


def test_other_settings_are_refused_with_the_difference(tmp_path):
    run_tiny(tmp_path, ALONE, tiny_config(max_steps=3), settings={"lr": 0.02})
    with pytest.raises(ConfigError, match=r"lr: was 0.02, now 0.05"):
        run_tiny(tmp_path, ALONE, tiny_config(), settings={"lr": 0.05})


def test_kept_files_are_the_last_two_and_every_sixth(tmp_path):
    run_tiny(tmp_path, ALONE, tiny_config())
    names = {folder: sorted(path.name for path in (tmp_path / folder).glob("*.pth"))
             for folder in ("checkpoints", "intermediate")}  # fmt: skip
    assert names["checkpoints"] == ["step_0000009.pth", "step_0000012.pth"]
    assert names["intermediate"] == ["step_0000006.pth", "step_0000012.pth"]


def test_the_model_hears_of_each_phase_once(tmp_path):
    config = tiny_config(max_steps=5)
    phases = [{"until": 2, "mask_prob": 0.65, "inter_layer": {10: 0.3}}, {"mask_prob": 0.8}]
    config = tiny_config(max_steps=5, phases=tuple(map(as_phase, phases)))
    model, _ = run_tiny(tmp_path, ALONE, config)
    assert model.phases == [(0.65, {10: 0.3}), (0.8, {})]


def as_phase(data):
    return type(tiny_config().phases[0])(**data)


def test_a_bad_batch_is_skipped_and_counted(tmp_path):
    model, _ = run_tiny(tmp_path, ALONE, tiny_config(), bad_steps=[5])
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    rows = {row["step"]: row for row in read_metrics(tmp_path / "metrics.jsonl")}
    assert [rows[step]["skipped"] for step in (4, 6, 8)] == [0, 0.5, 0]
    assert rows[6]["loss"] < 100


def bad_run(exp_dir, config, **batches):
    """Batches 5 to 8 give no finite gradient."""
    return run_tiny(exp_dir, ALONE, config, bad_steps=range(5, 9), **batches)


def test_skipped_steps_in_a_row_turn_the_run_back_and_leave_their_batches_out(tmp_path):
    seen = []
    config = tiny_config(rollback_after=2, log_interval_steps=1)
    model, summary = bad_run(tmp_path, config, seen=seen)
    # Steps 6 and 7 fail: back to checkpoint 6, without batch 6; then 7 and 8 fail, and back again.
    assert seen == list(range(15))
    assert summary["is_complete"]
    state = load_tensors(step_path(tmp_path / "checkpoints", 12))
    assert (state["step"], state["shift"], state["rollbacks"]) == (12, 3, 2)
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    steps = [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")]
    assert steps == list(range(1, 13))


def test_a_run_killed_after_a_rollback_goes_on_as_if_it_had_not_been(tmp_path):
    config = tiny_config(rollback_after=2, log_interval_steps=1)
    whole, _ = bad_run(tmp_path / "whole", config)
    for stop in (5, 6, 8, 10):
        changed = tiny_config(rollback_after=2, log_interval_steps=1, max_steps=stop)
        bad_run(tmp_path / "parts", changed)
    parts, _ = bad_run(tmp_path / "parts", config)
    assert_same_weights(whole, parts, atol=0, rtol=0)
    ends = [load_tensors(step_path(tmp_path / n / "checkpoints", 12)) for n in ("whole", "parts")]
    assert [end["rollbacks"] for end in ends] == [2, 2]


class JumpingBatches(TinyBatches):
    """Three batches whose loss is far above that of all others."""

    def batch(self, step):
        batches = super().batch(step)
        return [{**b, "y": b["y"] * 1000} for b in batches] if 14 <= step < 17 else batches


def test_a_spike_turns_the_run_back_to_a_state_from_before_it(tmp_path):
    config = tiny_config(max_steps=24, log_interval_steps=1, spike_ratio=50.0)
    train(TinyModel(), JumpingBatches(), config, tmp_path, ALONE, seed=3)
    # Seen after steps 15 to 17; the state of step 15 is not saved.
    alarm = "at step 17 the loss spike lasted 3 reports: back to step 12, the batches since are"
    assert alarm in (tmp_path / "alarms.tsv").read_text()
    assert load_tensors(step_path(tmp_path / "checkpoints", 24))["shift"] == 5


def test_what_a_left_out_batch_had_stays_listed_when_a_run_is_resumed(tmp_path):
    class Named(TinyBatches):
        def batch(self, step):
            return [{**micro, "utt_ids": [f"u{step}"]} for micro in super().batch(step)]

    for stop in (8, 12):  # at step 8 the batches have gone up to number 11
        config = tiny_config(rollback_after=2, log_interval_steps=1, max_steps=stop)
        train(TinyModel(), Named(bad_steps=range(5, 9)), config, tmp_path, ALONE, seed=3)
    lines = (tmp_path / "skipped/rank_000.tsv").read_text().splitlines()
    assert [line.split("\t")[:2] for line in lines[1:]] == [
        ["6", "u5"], ["7", "u6"], ["8", "u7"], ["9", "u8"],
    ]  # fmt: skip


def test_a_run_that_keeps_failing_ends_with_what_to_do(tmp_path):
    config = tiny_config(rollback_after=2, log_interval_steps=1, max_rollbacks=1)
    message = r"at step 8 2 steps in a row had no finite gradient, after 1 rollbacks; lower optim"
    with pytest.raises(TrainingError, match=message):
        bad_run(tmp_path, config)


def test_without_a_checkpoint_there_is_no_way_back(tmp_path):
    config = tiny_config(rollback_after=2, log_interval_steps=1, save_interval_steps=100)
    with pytest.raises(TrainingError, match="at step 7 2 steps in a row had no finite gradient"):
        run_tiny(tmp_path, ALONE, config, bad_steps=range(5, 9))


def test_an_interval_without_a_finite_gradient_ends_a_run_that_may_not_turn_back(tmp_path):
    config = tiny_config(rollback_after=0, max_rollbacks=0, log_interval_steps=1)
    with pytest.raises(TrainingError, match="at step 6 no gradient since the last report"):
        run_tiny(tmp_path, ALONE, config, bad_steps=[5])


def test_the_mean_weights_are_validated_and_saved(tmp_path):
    config = tiny_config(ema_decay=0.9, valid_interval_steps=6, valid_batches=2)
    model = TinyModel()
    train(model, TinyBatches(), config, tmp_path, ALONE, valid=TinyBatches())
    state = load_tensors(step_path(tmp_path / "checkpoints", 12))
    mean = load_tensors(step_path(tmp_path / "intermediate", 12))["model"]
    for name, tensor in model.state_dict().items():
        assert torch.equal(state["model"][name], tensor)
        assert torch.equal(state["ema"][name], mean[name])
        assert not torch.equal(mean[name], tensor)
    model.load_state_dict(mean)
    outputs = [model(**batch) for [batch] in TinyBatches().loader(0, 2, 0)]
    loss = sum(o.loss_sum for o in outputs) / sum(o.weight for o in outputs)
    rows = [r for r in read_metrics(tmp_path / "metrics.jsonl") if r["split"] == "valid"]
    assert rows[-1]["loss"] == pytest.approx(loss.item(), rel=1e-6)


def test_validation_is_written_beside_its_constants(tmp_path):
    config = tiny_config(valid_interval_steps=6, valid_batches=3)
    train(
        TinyModel(), TinyBatches(), config, tmp_path, ALONE,
        valid=TinyBatches(), constants={"majority_share": 0.25},
    )  # fmt: skip
    rows = [r for r in read_metrics(tmp_path / "metrics.jsonl") if r["split"] == "valid"]
    assert [row["step"] for row in rows] == [6, 12]
    assert rows[1]["loss"] < rows[0]["loss"]
    assert rows[0]["majority_share"] == 0.25


def test_an_interval_of_zero_never_validates(tmp_path):
    config = tiny_config(valid_interval_steps=0)
    train(TinyModel(), TinyBatches(), config, tmp_path, ALONE, valid=TinyBatches())
    assert {row["split"] for row in read_metrics(tmp_path / "metrics.jsonl")} == {"train"}


def test_sigterm_saves_and_the_next_start_goes_on(tmp_path):
    class Interrupted(TinyBatches):
        def batch(self, step):
            if step == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().batch(step)

    whole, _ = run_tiny(tmp_path / "whole", ALONE, tiny_config())
    parts, config = tmp_path / "parts", tiny_config()
    summary = train(TinyModel(), Interrupted(), config, parts, ALONE, seed=3)
    assert (summary["step"], summary["is_complete"]) == (5, False)
    assert not (parts / "summary.json").exists()
    resumed, _ = run_tiny(parts, ALONE, config)
    assert_same_weights(whole, resumed, atol=0, rtol=0)


def test_a_second_signal_does_not_break_off_the_writing_of_the_last_state(tmp_path, monkeypatch):
    def slow_save(path, state):
        if state["step"] == 12:
            time.sleep(0.3)  # the loop has come to its end
            os.kill(os.getpid(), signal.SIGUSR1)
        save_tensors(path, state)

    monkeypatch.setattr("espnet2.train.state.save_tensors", slow_save)
    unheeded = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: unheeded.append(number))
    run_tiny(tmp_path, ALONE, tiny_config())
    signal.signal(signal.SIGUSR1, before)
    assert unheeded == []
    assert newest_whole(tmp_path / "checkpoints") == 12


def test_each_batch_of_a_validation_is_a_sign_of_life(tmp_path, monkeypatch):
    words = []
    monkeypatch.setattr(Watchdog, "beat", lambda self, word: words.append(word))
    config = tiny_config(max_steps=3, valid_interval_steps=3, valid_batches=4)
    train(TinyModel(), TinyBatches(), config, tmp_path, ALONE, valid=TinyBatches())
    after = words.index("in step 3") + 1
    assert words[after : after + 4] == ["validating at step 3"] * 4
    assert words[after + 4 :] == [
        "saving the state of step 3", "after step 3, waiting for data",
        "writing the state of step 3",
    ]  # fmt: skip
