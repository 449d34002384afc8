"""The files about languages add up to what the model at a checkpoint has heard."""

import json

import pytest

from espnet2.train.languages import LanguageFiles

HOUR = 180_000  # frames
NAMES = ["deu", "eng", "swa"]


def sums(**of):
    """Loss, right, masked and all frames by language, as the meter gives them."""
    zero = (0.0, 0.0, 0.0, 0.0)
    return [list(column) for column in zip(*(of.get(name, zero) for name in NAMES), strict=True)]


def test_a_row_names_only_the_languages_heard_in_its_interval(tmp_path):
    files = LanguageFiles(tmp_path, NAMES, 0)
    files.add(10, sums(eng=(300.0, 25.0, 100.0, HOUR), swa=(0.0, 0.0, 0.0, HOUR / 2)))
    rows = [json.loads(line) for line in (tmp_path / "languages.jsonl").open()]
    assert rows == [{"step": 10, "languages": {"eng": [1.0, 3.0, 0.25], "swa": [0.5, None, None]}}]


def test_the_table_holds_all_hours_and_the_last_loss_most_heard_first(tmp_path):
    files = LanguageFiles(tmp_path, NAMES, 0)
    files.add(10, sums(deu=(500.0, 10.0, 100.0, HOUR), eng=(300.0, 25.0, 100.0, HOUR)))
    files.add(20, sums(eng=(200.0, 50.0, 100.0, HOUR), deu=(0.0, 0.0, 0.0, HOUR / 4)))
    assert files.write_table().read_text() == (
        "language\thours\tmasked_loss\tmasked_acc\n"
        "eng\t2.00000\t2\t0.5\n"
        "deu\t1.25000\t5\t0.1\n"
    )  # fmt: skip


@pytest.mark.parametrize("is_new_process", [True, False])
def test_going_back_forgets_the_hours_since(tmp_path, is_new_process):
    files = LanguageFiles(tmp_path, NAMES, 0)
    for step in (10, 20, 30):
        files.add(step, sums(eng=(100.0 * step, 0.0, 100.0, HOUR)))
    if is_new_process:
        files = LanguageFiles(tmp_path, NAMES, 20)
    else:
        files.rewind(20)
    assert files.total == {"eng": (2.0, 20.0, 0.0)}
    assert len((tmp_path / "languages.jsonl").read_text().splitlines()) == 2


def test_four_thousand_languages_take_a_line_of_less_than_130_kilobytes(tmp_path):
    names = [f"l{code:03x}"[:4] for code in range(4057)]
    files = LanguageFiles(tmp_path, names, 0)
    values = [[3.7e5 / 1.7] * 4057, [1.3e4] * 4057, [1e5] * 4057, [1e6 / 3] * 4057]
    files.add(1000, values)
    assert files.file.path.stat().st_size < 130_000
    assert len(files.total) == 4057
