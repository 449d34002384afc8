"""``bench data``, scale: the synthetic index, what a process answers, the rows and the plot."""

import argparse
import sys
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from espnet2.bench.data_plot import plot_scale
from espnet2.bench.data_scale import (
    WORKER,
    WRITTEN_AT_ONCE,
    Measured,
    making_row,
    measure,
    plot_file,
    reading_row,
)
from espnet2.bench.scale_worker import forget, memory
from espnet2.bench.sides import Worker
from espnet2.bench.synthetic_index import (
    CHUNK,
    CORPORA,
    LANGUAGES,
    ROWS_OF_A_SHARD,
    SyntheticIndex,
    language_code,
    numbered,
    zipf,
)
from espnet2.data.index import Index

MIB = 2**20
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """An index of 3,000 rows, written in two parts."""
    folder = tmp_path_factory.mktemp("synthetic")
    index = SyntheticIndex(folder / "index.arrow", 3000, seed=0)
    assert [index.write(1700), index.write(1700), index.write(1)] == [1700, 3000, 3000]
    index.close()
    return Index.open(folder, root=folder)


def test_numbers_become_ids_of_one_width():
    ids = numbered("utt", np.array([0, 7, 123456]), digits=6)
    assert ids.to_pylist() == ["utt000000", "utt000007", "utt123456"]


def test_the_last_row_of_the_largest_index_has_its_own_id(synthetic):
    assert synthetic.utt_ids[0] == "yodas-video000000000000"
    assert synthetic.utt_ids[2999] == "yodas-video000000002999"
    assert numbered("u", np.array([10**8 - 1]), digits=12).to_pylist() == ["u000099999999"]


def test_utterances_lie_behind_each_other_in_their_shards(synthetic):
    offsets, nbytes = np.asarray(synthetic.offsets), np.asarray(synthetic.nbytes)
    is_first = np.arange(3000) % ROWS_OF_A_SHARD == 0
    assert (offsets[is_first] == 0).all()
    inside = ~is_first[1:]
    assert (offsets[1:] == offsets[:-1] + nbytes[:-1])[inside].all()
    shards = synthetic.shards[np.array([0, 1199, 1200, 2999])]
    assert [Path(name).stem for name in shards] == ["000000", "000000", "000001", "000002"]


def test_lengths_are_those_of_speech(synthetic):
    seconds = np.asarray(synthetic.num_samples) / 16000
    assert seconds.min() >= 0.5
    assert seconds.max() == 40
    assert 13.5 < seconds.mean() < 15  # XEUS: 1.08 million hours of 264 million utterances


def test_languages_follow_a_power_law():
    drawn = zipf(LANGUAGES, 100_000, np.random.default_rng(0))
    counts = np.bincount(drawn, minlength=LANGUAGES)
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.15)
    assert len({language_code(n) for n in range(LANGUAGES)}) == LANGUAGES
    assert zipf(CORPORA, 10_000, np.random.default_rng(0)).max() == CORPORA - 1


def test_progress_falls_on_whole_chunks():
    assert WRITTEN_AT_ONCE % CHUNK == 0  # the rows must not depend on how often progress is told


def test_a_size_is_measured_in_processes_of_its_own(tmp_path):
    one = measure(10_000, argparse.Namespace(tiny=True), tmp_path / "rows")
    assert not (tmp_path / "rows").exists()
    assert one.rows == 10_000
    assert 35 < one.plan["hours"] < 45
    assert 0 < one.plan["cropped"] < 0.03
    assert len(one.first_s) == len(one.again_s) == 50
    assert 0 < median(one.again_s) < 1
    assert 20 * MIB < one.memory["anonymous"] < one.memory["peak"] < 500 * MIB
    assert one.memory["peak"] < one.both_bytes * 2
    assert 80 < one.disk_bytes / one.rows < 200


def test_a_reader_finds_the_utterances_of_one_rank(tmp_path):
    index = SyntheticIndex(tmp_path / "index.arrow", 2000, seed=0)
    index.write(2000)
    index.close()
    settings = {"batch_bins": 16_000_000, "batch_multiple": 8}
    with Worker(Path(sys.executable), True, tmp_path / "log", WORKER) as worker:
        worker.ask("plan", folder=str(tmp_path), config=settings)
        rows = worker.ask("open", folder=str(tmp_path), ranks=8)["rows"]
        assert rows >= 1
        assert worker.ask("open", folder=str(tmp_path), ranks=1)["rows"] == 8 * rows
        assert len(worker.ask("batches", count=3, seed=0)["seconds"]) == 3


def test_memory_of_this_process_is_told_in_bytes():
    before = memory()
    block = np.ones(8 * MIB)  # 64 MiB
    after = memory()
    assert 60 * MIB < after["anonymous"] - before["anonymous"] < 70 * MIB
    assert after["peak"] >= after["anonymous"]
    assert after["proportional"] > after["anonymous"] / 2
    del block


def test_files_can_be_dropped_from_the_cache_and_read_again(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x" * 10_000)
    forget(tmp_path)
    assert (tmp_path / "folder" / "file").read_bytes() == b"x" * 10_000


def measured(rows, resident_mib):
    """A size as it might be measured."""
    return Measured(
        rows=rows, disk_bytes=128 * rows,
        write={"seconds": 61.0, "peak": 150 * MIB},
        plan={"seconds": 0.5, "peak": 200 * MIB, "cropped": 0.0275, "hours": 4000.4, "steps": 2400},
        open={"seconds": 0.0213}, first_s=[0.004, 0.003, 0.03], again_s=[0.001, 0.002, 0.0011],
        memory={"peak": (resident_mib + 5) * MIB, "anonymous": 30 * MIB,
                "file": (resident_mib - 30) * MIB},
        both_bytes=86 * MIB,
    )  # fmt: skip


def test_rows_say_what_making_and_reading_cost():
    small, large = measured(10_000, 75), measured(10**6, 77)
    assert making_row(large) == (
        "1,000,000", "4,000", "61.00 s", "150 MiB", "500.00 ms", "200 MiB", "2,400", "2.75%",
        "128 bytes",
    )  # fmt: skip
    assert reading_row(small, small)[-2:] == ("–", "86 MiB")
    assert reading_row(large, small) == (
        "1,000,000", "21.30 ms", "4.00 ms", "30.00 ms", "1.10 ms", "2.00 ms", "82 MiB",
        "30 MiB", "47 MiB", "2.10 bytes", "86 MiB",
    )  # fmt: skip
    assert reading_row(measured(10**6, 74), small)[-2] == "0.00 bytes"


def test_the_plot_is_a_png(tmp_path):
    plot_scale(tmp_path / "plot.png", [measured(10**4, 75), measured(10**8, 80)])
    assert (tmp_path / "plot.png").read_bytes()[:8] == PNG
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]


def test_the_plot_lies_beside_the_saved_tables(tmp_path):
    def asked(**given):
        return argparse.Namespace(
            **{"plot": None, "no_save": False, "save": None, "tiny": False, **given}
        )

    assert plot_file(asked()).parts[-2:] == ("egs2", "bench_data.png")
    assert plot_file(asked(tiny=True)) is None
    assert plot_file(asked(no_save=True)) is None
    assert plot_file(asked(save=tmp_path / "r.md", tiny=True)) == tmp_path / "bench_data.png"
    assert plot_file(asked(plot=tmp_path / "p.png", no_save=True)) == tmp_path / "p.png"
