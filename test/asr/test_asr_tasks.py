"""Names of tasks."""

import pytest

from espnet2.asr.config import mono_parts, mono_task, task_kind
from espnet2.asr.vocabulary import target_text
from espnet2.utils.errors import ConfigError


def test_a_task_of_one_language_names_it_and_its_training_corpus():
    assert mono_parts("mono-eng-mls") == ("eng", "mls")
    assert mono_parts("mono-rus-M-AILABS") == ("rus", "M-AILABS")
    assert mono_task("xty", "mexico-el") == "mono-xty-mexico-el"
    assert mono_parts(mono_task("xty", "mexico-el")) == ("xty", "mexico-el")


def test_the_kind_of_a_task_is_one_of_four():
    tasks = ["mono-jpn-commonvoice", "multi", "lid", "joint"]
    assert [task_kind(task) for task in tasks] == ["mono", "multi", "lid", "joint"]


@pytest.mark.parametrize("task", ["mono", "mono-eng", "mono--mls", "mono-eng-", "asr", ""])
def test_a_task_that_is_none_is_refused_by_name(task):
    with pytest.raises(ConfigError, match=f"task '{task}' is not "):
        task_kind(task)


def test_a_cell_of_one_language_learns_the_text_alone():
    assert target_text("mono-dan-fleurs", "dan", "HEJ DU") == "HEJ DU"
