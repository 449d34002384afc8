"""``corpora.yaml``: the 41 corpora of the paper, and what is refused with a word of help."""

import inspect
import shlex
import subprocess
from pathlib import Path

import pytest

from espnet2.data.config import BankConfig, CombineConfig, FormatConfig, PlanConfig
from espnet2.data.corpora.config import load_corpora
from espnet2.data.corpora.disk import refuse_missing
from espnet2.data.corpora.kinds import Lhotse, Manual
from espnet2.data.corpora.lhotse import find_recipe
from espnet2.utils.config import from_dict, load_recipe
from espnet2.utils.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "egs2/xeus/ssl1/local/corpora.yaml"
NEW = ("mms_ulab_v2", "wikitongues", "jesus_dramas")


def load(tmp_path, text):
    path = tmp_path / "corpora.yaml"
    path.write_text(text)
    return load_corpora(path).corpora


def test_the_paper_has_41_corpora_and_1081563_hours():
    corpora = load_corpora(PAPER).corpora
    assert len(corpora) == 41
    assert sum(corpus.hours for corpus in corpora.values()) == 1_081_563
    assert [n for n, c in corpora.items() if not (c.licence and c.source and c.num_languages)] == []
    assert {corpus.kind for corpus in corpora.values()} == {
        "folder", "hf_parquet", "kaldi", "lhotse", "manual",
    }  # fmt: skip


def test_lhotse_has_every_recipe_that_is_named():
    named = [c.recipe for c in load_corpora(PAPER).corpora.values() if isinstance(c, Lhotse)]
    assert len(named) == 19
    for recipe in named:
        assert find_recipe(recipe).__name__ == f"prepare_{recipe}"


def test_arguments_and_parts_of_the_recipes_are_known_to_them():
    for name, corpus in load_corpora(PAPER).corpora.items():
        if isinstance(corpus, Lhotse):
            known = inspect.signature(find_recipe(corpus.recipe)).parameters
            assert set(corpus.arguments) <= set(known), name


def test_groups_of_the_codebook_and_of_the_pause_cutter_name_corpora_of_the_paper():
    recipe, corpora = load_recipe(ROOT / "conf/xeus.yaml"), load_corpora(PAPER).corpora
    named = [name for quota in recipe["tokens"]["quotas"] for name in quota["corpora"]]
    assert set(named) | set(recipe["format"]["vad_corpora"]) <= set(corpora)
    assert set(NEW) <= set(recipe["format"]["vad_corpora"])


def test_every_section_of_the_papers_recipe_is_known():
    recipe = load_recipe(ROOT / "conf/xeus.yaml")
    sections = {
        "format": FormatConfig, "combine": CombineConfig, "augment": BankConfig, "plan": PlanConfig
    }  # fmt: skip
    read = {name: from_dict(cls, recipe[name], name) for name, cls in sections.items()}
    assert read["format"].max_s == 40
    assert read["plan"].batch_bins == 64 * 100 * 16000
    assert set(recipe) == {*sections, "seed", "tokens", "pretrain", "finetune"}


@pytest.mark.parametrize("name", ["xeus", *NEW])
def test_recipes_run_stages_1_to_3_on_the_corpora_that_are_named(name):
    command = [ROOT / f"egs2/{name}/ssl1/run.sh", "--dry_run", "--only", "a, b"]
    command += ["--stop_stage", "3"] if name == "xeus" else []
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=True)
    words = [shlex.split(line) for line in done.stdout.splitlines()]
    steps = {line[2].removeprefix("espnet2.bin."): line for line in words if line[1] == "-m"}
    assert list(steps) == ["prepare_data", "format_data", "combine_data"]
    first = steps["prepare_data"]
    assert first[first.index("--only") + 1] == "a, b"
    assert first[first.index("--conf") + 1] == str(ROOT / "conf/xeus.yaml")
    for step in ("format_data", "combine_data"):
        place = steps[step].index("--data")
        assert steps[step][place + 1 : place + 4] == ["data/a", "data/b", "--dump"]


@pytest.mark.parametrize("name", NEW)
def test_the_new_data_sets_have_recipes_that_say_the_same(name):
    own = load_corpora(ROOT / f"egs2/{name}/ssl1/local/corpora.yaml").corpora
    assert own == {name: load_corpora(PAPER).corpora[name]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("corpora: {a: {kind: hf_parkuet}}", "corpora.a: kind must be one of hf_parquet, .* got "
         "'hf_parkuet'; did you mean 'hf_parquet'?"),
        ("corpora: {a: {path: x}}", "corpora.a: kind must be one of .*, got None"),
        ("corpora: {a: {kind: folder, langage: eng}}", "corpora.a: langage is not a known key"),
        ("corpora: {a: {kind: folder, language: no}}", "corpora.a: language must be str, got F"),
        ("corpora: {a: {kind: folder, language: en}}", "corpora.a: language 'en' is not ISO 639-3"),
        ("corpora: {a: {kind: folder, languages: {x: Xish}}}", "corpora.a: language 'Xish' is not"),
        ("corpora: {a: folder}", "corpora.a must be a mapping, got 'folder'"),
        ("corpora: {a/b: {kind: folder}}", "corpus 'a/b': letters, digits, - and _ make a name"),
        ("corpora: {}", "corpora must be a mapping from names to corpora"),
        ("kopora: {}", "corpora must be a mapping from names to corpora"),
        ("corpora: {a: {kind: folder}}\nx: 1", "x is not a known key"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_and_corpus(tmp_path, text, message):
    with pytest.raises(ConfigError, match=r"corpora\.yaml: " + message.replace("?", r"\?")):
        load(tmp_path, text)


def test_every_problem_is_reported_together(tmp_path):
    text = "corpora: {a: {kind: foldr}, b: {kind: folder, hours: many}, c: {kind: folder}}"
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "corpora.a: kind" in lines[0]
    assert "corpora.b: hours must be float, got 'many'" in lines[1]


def test_what_is_missing_on_the_disk_is_said_for_all_corpora_at_once(tmp_path):
    corpora = load(tmp_path, f"""
corpora:
  here: {{kind: folder, path: {tmp_path}}}
  empty: {{kind: folder, path: {tmp_path}/empty, source: https://example.org/x}}
  babel: {{kind: manual, path: {tmp_path}/babel, place: put the packs there}}
  old: {{kind: kaldi, path: {tmp_path}}}
""")  # fmt: skip
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        refuse_missing(corpora)
    assert str(caught.value).splitlines() == [
        f"3 of 4 corpora are not on this machine (paths from {Path.cwd()}):",
        f"  empty: nothing at {tmp_path}/empty: get it from https://example.org/x",
        f"  babel: nothing at {tmp_path}/babel: put the packs there",
        f"  old: no wav.scp in {tmp_path}: correct path: in corpora.yaml",
        "those that are there run with --only 'here'",
    ]
    refuse_missing({"here": corpora["here"]})
    with pytest.raises(DataError) as caught:
        refuse_missing({"old": corpora["old"]})
    assert len(str(caught.value).splitlines()) == 2  # nothing else could run


def test_a_path_is_downloads_and_the_name_unless_given(tmp_path):
    text = "corpora: {a: {kind: folder}, b: {kind: manual, path: /x, place: ask}}"
    corpora = load(tmp_path, text)
    assert (corpora["a"].path, corpora["b"].path) == (Path("downloads/a"), Path("/x"))
    assert isinstance(corpora["b"], Manual)
