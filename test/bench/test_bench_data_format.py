"""``bench data``, formatting: what comes in, how it is timed, and the table."""

import argparse
import importlib
import re
import time

import numpy as np
import pytest
import soundfile

from espnet2.bench.data_audio import spoken
from espnet2.bench.data_format import KINDS, format_tables, recordings, row, write_corpus
from espnet2.bench.format_worker import PARTS, Side
from espnet2.bench.time_shares import shares
from espnet2.data.audio import content_hash, encode_flac, load_pcm, to_int16
from espnet2.data.kaldi import read_kaldi

SPEECH = np.arange(-8000, 8000, dtype=np.int16)  # 1 s at 16 kHz


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_a_function_that_exists(part):
    for module_end, name in PARTS[part]:
        if module_end.startswith("data/"):
            module = importlib.import_module(
                f"espnet2.{module_end.removesuffix('.py').replace('/', '.')}"
            )
            assert callable(getattr(module, name))


def test_a_kind_of_audio_is_what_its_name_says(tmp_path):
    forms = []
    for number, kind in enumerate(KINDS):
        folder = write_corpus(tmp_path / f"kind{number}", kind, [SPEECH, SPEECH])
        one = read_kaldi(folder)[0]
        info = soundfile.info(one.source)
        forms.append((info.format, info.samplerate, info.channels, round(info.duration)))
    assert forms == [("FLAC", 16000, 1, 1), ("WAV", 16000, 1, 1), ("WAV", 44100, 2, 1),
                     ("WAV", 16000, 1, 2)]  # fmt: skip


def test_long_recordings_hold_all_of_the_speech():
    pieces = [np.arange(16000 * 250).astype(np.int16)] * 5  # 1,250 s
    long = list(recordings(pieces))
    assert [len(one) / 16000 for one in long] == [600, 600, 50]
    assert np.array_equal(np.concatenate(long), np.concatenate(pieces))


def test_the_profile_finds_what_takes_the_time():
    noise = to_int16(np.random.default_rng(0).normal(0, 0.1, 480_000))

    def work():
        encode_flac(noise)
        content_hash(noise)
        time.sleep(0.01)

    found = shares(work, PARTS)
    assert set(found) == {*PARTS, "rest"}
    assert sum(found.values()) == pytest.approx(1)
    assert found["encode"] > 0
    assert found["hash"] > 0
    assert found["rest"] > 0
    assert found["decode"] == found["resample"] == 0


def test_a_row_names_the_largest_parts_first():
    answers = [{"seconds": [s], "cpu_s": s, "utterances": 12, "hours": 1} for s in (2.0, 1.0, 4.0)]
    found = row(KINDS[1], 1000, answers, {"decode": 0.3, "encode": 0.5, "write": 0.01, "rest": 0.2})
    assert found == (
        "16 kHz WAV", "500 ×", "250 to 1,000", "12", "encode 50%, decode 30%, rest 20%"
    )  # fmt: skip


def test_a_tiny_run_formats_every_kind(tmp_path):
    sources = spoken(tmp_path / "spoken", 16)
    (tmp_path / "dump" / "voices").mkdir(parents=True)
    lines = "".join(f"utt{n} {next(sources)}\n" for n in range(4))
    (tmp_path / "dump" / "voices" / "wav.scp").write_text(lines)
    (tmp_path / "scratch").mkdir()
    asked = argparse.Namespace(tiny=True, rounds=2, dump=tmp_path / "dump")
    (table,) = format_tables(asked, tmp_path / "scratch")
    assert table.title == "Formatting (stage 2), tiny: × real time a core"
    assert [cells[0] for cells in table.rows] == [kind.name for kind in KINDS]
    for cells in table.rows:
        assert re.fullmatch(r"[\d,]+ ×", cells[1])
        assert int(cells[1].rstrip(" ×").replace(",", "")) > 5
        assert re.fullmatch(r"[\d,]+ to [\d,]+", cells[2])
        assert int(cells[3]) >= 2
        assert sum(int(share) for share in re.findall(r"(\d+)%", cells[4])) in range(97, 104)


@pytest.mark.parametrize(
    ("number", "used", "unused"),
    [
        (0, {"read", "decode", "hash", "write"}, {"encode", "resample", "round", "find pauses"}),
        (1, {"decode", "encode"}, {"resample", "find pauses"}),
        (2, {"mix channels", "resample", "round", "encode"}, {"find pauses"}),
        (3, {"find pauses", "encode"}, {"resample"}),
    ],
)
def test_each_kind_takes_the_way_its_name_says(number, used, unused, tmp_path):
    sources = spoken(tmp_path / "spoken", 16)
    pieces = [load_pcm(next(sources)).samples for _ in range(2)]
    data = write_corpus(tmp_path / f"kind{number}", KINDS[number], pieces)
    found = Side().parts(str(data), str(tmp_path / "dump" / data.name), KINDS[number].config)
    assert {part for part in used if found[part] == 0} == set()
    assert {part for part in unused if found[part] > 0} == set()
