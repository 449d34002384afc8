"""The GPU benchmark, tiny and on a CPU: everything runs, and nothing that fails ends the run."""

import argparse
import ast
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from espnet2.bench import gpu, gpu_label, gpu_step
from espnet2.bench.gpu_micro import COLUMNS, Case, case_rows
from espnet2.bench.gpu_parts import conv1d_stem, shifted_sums
from espnet2.bench.gpu_predict import Prediction, predict
from espnet2.bench.gpu_step import Job, TrainingSteps, Variant, job_cells, lengths_of, variant_rows
from espnet2.bench.timing import Timing, attempt
from espnet2.bench.work import Work
from espnet2.nn.depthwise_conv import conv_of_image, conv_of_rows
from espnet2.ssl.factory import build_frontend
from espnet2.ssl.flops import utterance_flops
from espnet2.utils.errors import XeusError
from espnet2.utils.peaks import peak_of

ROOT = Path(__file__).resolve().parents[2]
MICRO = ("ceilings", "sdpa", "depthwise", "stem", "layer")


def options(*words):
    parser = argparse.ArgumentParser()
    gpu.add_options(parser)
    return parser.parse_args(words)


def tiny_setup(**changes):
    return dataclasses.replace(gpu.build_setup(options("--device", "cpu", "--tiny")), **changes)


def run_tiny(*names):
    words = [word for name in names for word in ("--only", name)]
    return gpu.run(options("--device", "cpu", "--tiny", *words))


def work_case(function, **changes):
    case = Case(name="a", function=function, inputs=(), forward=Work(matrix_flops=1.0))
    return dataclasses.replace(case, **changes)


@pytest.fixture(scope="module")
def micro():
    return dict(zip(MICRO, run_tiny(*MICRO), strict=True))


def test_every_micro_benchmark_measures_forward_and_backward(micro):
    for name in ("sdpa", "depthwise", "stem", "layer"):
        measured = [row for row in micro[name].rows if row[2][0].isdigit()]
        assert {row[1] for row in measured} == {"forward", "training"}, name
        assert all(float(row[2]) > 0 for row in measured), name
    assert [row[1] for row in micro["ceilings"].rows] == ["forward", "forward"]


def test_only_missing_attention_kernels_and_the_compiler_leave_rows_without_time(micro):
    reasons = {
        (name, row[2])
        for name, table in micro.items()
        for row in table.rows
        if not row[2][0].isdigit()
    }
    assert {name for name, reason in reasons if not reason.startswith("not compiled")} <= {"sdpa"}
    assert ("layer", "not compiled: see --compile") in reasons


def test_every_way_to_compute_agrees_with_float32(micro):
    column = COLUMNS.index("error")
    errors = [float(row[column]) for t in micro.values() for row in t.rows if row[column] != "–"]
    assert len(errors) >= 8
    assert max(errors) < 0.02


def test_steps_and_encodings_are_measured_at_several_sizes():
    step, encode = run_tiny("step", "encode")
    column = gpu_step.COLUMNS.index("× real time")
    rows = (*step.rows, *encode.rows)
    speeds = {row[:2]: row[column] for row in rows if row[column] != "–"}
    assert ("eager", "4 × 0.5 s") in speeds
    assert ("checkpointed", "4 × 0.5 s") in speeds
    assert ("eager, padded", "2 × 0.5 s") in speeds
    assert min(float(speed) for speed in speeds.values()) > 0
    assert {row[2] for row in rows if row[column] == "–"} == {"not compiled: see --compile"}


def test_labelling_is_measured_beside_the_bare_forward_and_leaves_the_precision_alone():
    torch.set_float32_matmul_precision("high")
    (table,) = run_tiny("label")
    assert torch.get_float32_matmul_precision() == "high"
    torch.set_float32_matmul_precision("highest")
    assert [row[0] for row in table.rows] == [
        "bare forward", "bare forward, batches of 400 s", "labelling",
    ]  # fmt: skip
    assert all(float(row[3].replace(",", "")) > 0 for row in table.rows)
    assert table.title == "labelling, 2 layers of width 32, 16 clusters"


def test_large_batches_hold_like_lengths_each_once():
    lengths = np.array([5, 1, 3, 2, 4]) * 16_000
    batches = gpu_label.by_length(lengths, 6.0)
    assert [(lengths[batch] // 16_000).tolist() for batch in batches] == [[1, 2], [3], [4], [5]]


def test_the_mfu_of_labelling_follows_from_its_time():
    setup = tiny_setup(peak=peak_of("NVIDIA H200"))
    timing = Timing(median_s=0.4, first_s=7.0, peak_bytes=2**31)
    assert gpu_label.cells_of(setup, timing, 10.0, 98.9e12) == ["400", "25", "25.0%", "2.0", "7.0"]


def test_a_step_is_the_training_loops_own():
    steps = TrainingSteps(tiny_setup(), Variant(name="eager", sizes=()))
    before = [p.detach().clone() for p in steps.model.parameters()]
    steps.job([8000, 8000]).call()
    assert steps.trainer.step == 1
    assert steps.model.masker.mask_prob == 0.8  # the last phase of the recipe
    pairs = zip(steps.model.parameters(), before, strict=True)
    assert all(not torch.equal(p, old) for p, old in pairs if p.dim() > 1)


def test_a_shifted_sum_and_an_image_are_depthwise_convolutions():
    torch.manual_seed(0)
    inputs = [torch.randn(2, 9, 4), torch.randn(4, 1, 5), torch.randn(4)]
    inputs = [x.double().requires_grad_() for x in inputs]
    expected = conv_of_rows(*inputs)
    gradients = torch.autograd.grad(expected.square().sum(), inputs)
    for function, rtol in ((conv_of_image, 1e-12), (shifted_sums, 1e-4)):  # sums are in float32
        y = function(*inputs)
        torch.testing.assert_close(y, expected, rtol=rtol, atol=rtol)
        ours = torch.autograd.grad(y.square().sum(), inputs)
        torch.testing.assert_close(ours, gradients, rtol=rtol, atol=rtol)


def test_the_convolutions_of_the_stem_equal_the_models_front_end():
    frontend = build_frontend(tiny_setup().model.frontend)
    speech = 0.1 * torch.randn(2, 4000)
    expected, _ = frontend(speech, [4000, 4000])
    torch.testing.assert_close(conv1d_stem(frontend, speech), expected, rtol=1e-4, atol=1e-4)


def test_an_error_is_a_row_and_the_next_pass_is_not_tried():
    def broken():
        raise RuntimeError("no kernel\nfor this")

    rows = case_rows(tiny_setup(), "title", work_case(broken, train=Work()))
    assert rows == [("a", "forward", "failed: RuntimeError: no kernel for this", *["–"] * 5)]


def test_a_benchmark_that_cannot_begin_is_a_table_that_says_so(monkeypatch):
    def broken(setup):
        raise RuntimeError("boom")

    monkeypatch.setitem(gpu.BENCHMARKS, "layer", broken)
    (table,) = run_tiny("layer")
    assert (table.title, table.rows) == ("layer", (("failed: RuntimeError: boom",),))


def test_a_batch_above_one_that_filled_the_memory_is_left_out():
    class Filling:
        def __init__(self, setup, variant):
            pass

        def job(self, lengths):
            if len(lengths) > 1:
                raise torch.OutOfMemoryError("tried to allocate")
            return Job(call=lambda: None, audio_s=1.0, flops=1.0, prediction=None)

    variant = Variant(name="v", sizes=((1, 1), (1, 2), (1, 4), (2, 2)))
    rows = variant_rows(tiny_setup(is_tiny=False), "title", variant, Filling)
    assert [row[1] for row in rows] == ["1 × 1 s", "2 × 1 s"]
    assert rows[1][2:] == ("out of memory", *["–"] * 6)


def test_no_row_is_begun_when_the_time_is_used_up():
    late = tiny_setup(deadline=time.monotonic() - 1)
    assert attempt(late, lambda: 1) == "not run: the time of --budget_s is used up"


@pytest.mark.parametrize(("name", "bytes_s"), [
    ("NVIDIA H200", 4.8e12), ("NVIDIA H100 80GB HBM3", 3.35e12),
])  # fmt: skip
def test_known_devices_have_their_data_sheets_rates(name, bytes_s):
    peak = peak_of(name)
    assert (peak.matrix_flops_s, peak.bytes_s) == (989e12, bytes_s)


def test_an_unknown_device_has_no_rates():
    assert peak_of("NVIDIA GeForce RTX 4090") is None


def test_the_floor_is_the_slowest_of_what_runs_at_the_same_time():
    peak = peak_of("NVIDIA H200")
    assert Work(matrix_flops=989e12, moved_bytes=2.4e12).floor_s(peak) == 1.0
    assert Work(matrix_flops=989e9, vector_flops=67e12).floor_s(peak) == 1.0
    assert Work(vector_flops=67e9, moved_bytes=9.6e12).floor_s(peak) == 2.0


def test_speed_utilisation_and_prediction_of_a_step_follow_from_its_time(monkeypatch):
    setup = tiny_setup(peak=peak_of("NVIDIA H200"))
    timing = Timing(median_s=0.4, first_s=7.0, peak_bytes=2**31)
    monkeypatch.setattr(gpu_step, "measure", lambda *_: timing)
    steps = TrainingSteps(setup, Variant(name="eager", sizes=()))
    job = steps.job([16_000] * 4)
    assert job.flops == 3 * 4 * utterance_flops(setup.model, 49)
    assert job.prediction.bound == "launches"  # of so small a model
    expected = Prediction(matrix_s=0.1, moved_s=0.2, optimiser_s=0.01, launch_s=0.05)
    job_of = dataclasses.replace(job, flops=98.9e12, prediction=expected)
    monkeypatch.setattr(steps, "job", lambda lengths: job_of)
    cells = job_cells(setup, steps, [16_000] * 4)
    assert cells == ["400", "310", "memory traffic", "10", "25.0 %", "2.0", "7.0"]


def predicted(**changes):
    """A step of XEUS on 20 utterances of 20 s on an H200."""
    config, _ = gpu.configs(gpu.XEUS, is_tiny=False)
    call = {"is_compiled": False, "is_checkpointed": False, "weights": 576_000_000, **changes}
    return predict(config, peak_of("NVIDIA H200"), [999] * 20, **call)


def test_the_prediction_of_xeus_is_its_closed_form_at_four_fifths_of_the_peak():
    config, _ = gpu.configs(gpu.XEUS, is_tiny=False)
    step = predicted()
    assert step.matrix_s == 3 * 20 * utterance_flops(config, 999) / (0.8 * 989e12)
    assert 0.08 < step.matrix_s < 0.12  # 400 s of audio at some 200 GFLOP a second
    assert step.optimiser_s == pytest.approx(28 * 576e6 / (0.9 * 4.8e12))
    assert step.seconds == step.matrix_s + step.moved_s + step.optimiser_s
    assert step.bound == "matrix products"


def test_fusing_moves_fewer_bytes_and_computing_again_costs_a_forward_pass():
    eager, fused, again = predicted(), predicted(is_compiled=True), predicted(is_checkpointed=True)
    assert 0.5 * eager.moved_s < fused.moved_s < 0.7 * eager.moved_s
    assert again.matrix_s == pytest.approx(4 / 3 * eager.matrix_s)
    assert fused.launch_s < eager.launch_s < again.launch_s
    assert predicted(weights=0).optimiser_s == 0


def test_the_training_loops_own_compilation_is_what_is_measured():
    steps = TrainingSteps(tiny_setup(), Variant(name="v", sizes=(), compiled="buckets"))
    assert steps.trainer.config.compile == "buckets"
    assert all(block._compiled_call_impl is not None for block in steps.model.encoder.encoders)


def test_padded_batches_hold_utterances_from_the_whole_length_down_to_three_fifths():
    assert lengths_of(3, 1.0, is_padded=True) == [16_000, 12_800, 9_600]
    assert lengths_of(2, 0.5, is_padded=False) == [8_000, 8_000]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_one_line_says_what_to_do():
    with pytest.raises(XeusError, match="no CUDA device here; .* --device cpu --tiny$"):
        gpu.run(options())


def test_the_full_size_is_refused_on_a_cpu():
    with pytest.raises(XeusError, match="XEUS in its full size would take hours on a CPU"):
        gpu.run(options("--device", "cpu"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_everything_runs_and_memory_is_measured():
    names = [name for name in gpu.BENCHMARKS if name != "sdpa"]  # whose kernels differ by GPU
    words = [word for name in names for word in ("--only", name)]
    tables = dict(zip(names, gpu.run(options("--tiny", *words)), strict=True))
    assert not [row for t in tables.values() for row in t.rows if any("failed" in c for c in row)]
    column = gpu_step.COLUMNS.index("peak GiB")
    assert all(float(row[column]) >= 0 for row in tables["step"].rows if row[0] == "eager")


def imported(path):
    """Dotted names that a file imports at its top or inside, ours and others'."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_a_gpu_image_without_packages_for_audio_is_enough():
    seen, todo, foreign = set(), ["espnet2.bin.bench", "espnet2.bench.gpu"], set()
    while todo:
        name = todo.pop()
        path = ROOT / (name.replace(".", "/") + ".py")
        if name in seen or not path.is_file():
            foreign.update({name.split(".")[0]} - {"espnet2"})
            continue
        seen.add(name)
        todo += imported(path)
    optional = {"submitit"}  # imported where a cluster is asked for
    assert foreign - set(sys.stdlib_module_names) - optional == {
        "torch", "numpy", "scipy", "yaml", "matplotlib",
    }  # fmt: skip
