"""``bench data``: the command, its options, and one run of all of it."""

import argparse
import re

import pytest

from espnet2.bench import data, parts
from espnet2.bench.data_loader import loader_tables
from espnet2.bench.model import PEER_PYTHON
from espnet2.bin.bench import main
from espnet2.utils.errors import ConfigError

PNG = b"\x89PNG\r\n\x1a\n"


def options(*words):
    parser = argparse.ArgumentParser()
    data.add_options(parser)
    return parser.parse_args(words)


def test_everything_is_measured_unless_a_part_is_named():
    assert options().only is None
    assert list(data.PARTS) == ["scale", "loader", "format"]
    assert options("--only", "format", "--only", "scale").only == ["format", "scale"]
    assert options().max_rows == 10**8


def test_scratch_is_deleted_even_after_an_error(tmp_path):
    with pytest.raises(ConfigError), parts.scratch_folder(tmp_path / "scratch") as folder:
        (folder / "large").write_bytes(b"x" * 1000)
        raise ConfigError("as if a worker had failed")
    assert (tmp_path / "scratch").is_dir()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_without_the_reference_one_line_says_how_to_install_it(tmp_path):
    asked = options("--tiny", "--peer_python", str(tmp_path / "none"))
    with pytest.raises(ConfigError) as error:
        loader_tables(asked, tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/none is not there: install the reference with tools/install.sh "
        "--with_espnet, or give --peer_python"
    )


@pytest.mark.peer
@pytest.mark.skipif(not PEER_PYTHON.is_file(), reason="no tools/espnet_venv")
def test_a_run_prints_its_tables_and_saves_them_with_the_plot(tmp_path, capsys):
    record = tmp_path / "record.md"
    words = ["data", "--tiny", "--rounds", "1", "--max_rows", "20000", "--save", str(record)]
    assert main([*words, "--scratch", str(tmp_path / "scratch")]) == 0
    text = capsys.readouterr().out
    assert record.read_text() == text
    assert (tmp_path / "bench_data.png").read_bytes()[:8] == PNG
    assert list((tmp_path / "scratch").iterdir()) == []
    assert re.findall(r"^### (.*)$", text, re.MULTILINE) == [
        "Index and plan: making them, tiny",
        "Index and plan: reading them, tiny",
        "Loader, tiny: × real time a core",
        "Formatting (stage 2), tiny: × real time a core",
    ]
    rows = {cells[0]: cells for line in text.splitlines() if "|" in line
            for cells in [line.strip("| ").split(" | ")]}  # fmt: skip
    assert re.fullmatch(r"\d+\.\d\d (ms|s)", rows["20,000"][1])
    assert re.fullmatch(r"\d+\.\d\d bytes", rows["20,000"][9])
    for what in ("batches, augmented", "batches, not augmented", "decoding alone"):
        speeds = [int(cell.rstrip(" ×").replace(",", "")) for cell in rows[what][1:4]]
        assert min(speeds) > 20
        assert re.match(r"\d+\.\d\d × as fast \(", rows[what][4])
    assert re.search(
        r"espnet 202511, NumElementsBatchSampler and kaldiio's table of wav.scp over 10,000 ", text
    )
    assert "- Plot: [bench_data.png](bench_data.png)" in text
    delivered = re.search(r"lhotse \S+ ([\d.]+)%, espnet 202511 ([\d.]+)%", text)
    assert float(delivered[1]) == pytest.approx(100, abs=0.2)
    assert 50 < float(delivered[2]) <= 100
    assert re.search(r"waited for the processor in \d+% of their time", text)
