"""Settings of the benchmark's data, and the recipes that come with them."""

from pathlib import Path

import pytest

from espnet2.data.superb import SuperbDataConfig
from espnet2.train.cells import cells, finetune_config
from espnet2.utils.config import load_section
from espnet2.utils.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "kaldi", "tests": ["phone"]}, "tests: 'phone' must begin with test_"),
        (
            {"kind": "kaldi", "tests": ["test_v1.2"]},
            "'test_v1.2' must begin with test_, go on with",
        ),
        ({"kind": "kaldi", "tests": ["test_dialect"]}, "or -, and not be test_dialect"),
        ({"kind": "kaldi", "tests": ["test_a"] * 2}, "tests must hold nothing twice"),
        ({"tests": ["test_phone"]}, "tests means nothing with kind: ml_superb"),
        ({"kind": "kaldi", "corpora": ["mls"]}, "corpora means nothing with kind: kaldi"),
        ({"kind": "kaldi", "dev_share": 0.1}, "dev_share means nothing with kind: kaldi"),
        ({"kind": "ml_superb2", "dev_share": 1.0}, "dev_share must be between 0 and 1, got 1.0"),
    ],
)
def test_settings_of_the_data_that_cannot_be_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        SuperbDataConfig(**values)


@pytest.mark.parametrize(
    ("name", "kind", "further", "steps"),
    [
        ("ml_superb", "ml_superb", (), 150_000),
        ("ml_superb2", "ml_superb2", ("test_dialect",), 100_000),
        ("own_languages", "kaldi", (), 75_000),
    ],
)
def test_the_recipe_of_each_kind_is_whole(name, kind, further, steps):
    path = ROOT / "conf" / f"{name}.yaml"
    config = finetune_config(load_section(path, "finetune"), str(path))
    assert (config.data.kind, config.further_tests) == (kind, further)
    assert max(cell.training["max_steps"] for cell in cells(config)) == steps
