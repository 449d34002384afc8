"""Every option and configuration key that the documents name is one."""

import dataclasses
import re
import shlex
import typing
from functools import cache

import pytest
from documents import DOCUMENTS, HISTORY, ROOT, TRACKED, blocks, spans
from shell_blocks import (
    DRIVERS,
    FOREIGN,
    commands_of,
    help_of,
    help_of_script,
    options_of,
)

from espnet2.data.augment import MixConfig
from espnet2.data.config import BankConfig, CombineConfig, FormatConfig, PlanConfig
from espnet2.data.corpora.config import DataConfig
from espnet2.evaluation.report.config import ReportConfig
from espnet2.ssl.encoder_config import EncoderConfig
from espnet2.ssl.part_configs import FrontendConfig, LossConfig, MaskConfig, ModelConfig
from espnet2.tokens.config import TokensConfig
from espnet2.train.cells import FinetuneConfig
from espnet2.train.config import TrainConfig
from espnet2.train.export.config import ExportConfig
from espnet2.utils.cluster import ClusterConfig

CURRENT = [document for document in DOCUMENTS if document not in HISTORY]
BINS = sorted(
    path.removesuffix(".py").replace("/", ".")
    for path in TRACKED
    if path.startswith("espnet2/bin/") and not path.endswith("__init__.py")
)
KINDS = ("model", "gpu", "data", "tokens", "train", "superb")  # of bench
# Options of ESPnet, torchrun, srun and s3prl in the text, and s3prl's names of its tasks.
OTHERS = {
    "--nproc_per_node", "--gres", "--pty", "--init_param", "--token_list", "--output_dir",
    "--prepare_data", "--train",
}  # fmt: skip
NAMES_OF_OTHERS = {"enhancement_stft2", "separation_stft2", "speech_translation"}
SECTIONS = {
    "format": FormatConfig, "combine": CombineConfig, "augment": BankConfig, "plan": PlanConfig,
    "tokens": TokensConfig, "finetune": FinetuneConfig, "export": ExportConfig,
    "report": ReportConfig, "data": DataConfig, "pretrain": TrainConfig,
}  # fmt: skip
PARTS = {
    "encoder_conf": EncoderConfig, "frontend_conf": FrontendConfig, "masker_conf": MaskConfig,
    "loss_conf": LossConfig, "model_conf": ModelConfig, "mix": MixConfig, "cpu": ClusterConfig,
    "gpu": ClusterConfig,
}  # fmt: skip
FILES = re.compile(
    r"\.(py|md|sh|yaml|jsonl?|tsv|html|pth|arrow|np[yz]|png|svg|scp|ark|log|txt|ctm|csv|toml|cff|zip|"
    r"safetensors|f32|u16|done|parquet|gz|mdl)$"
)


@pytest.fixture(scope="module")
def known():
    """Every option of every command and script."""
    modules = [m for m in BINS if m != "espnet2.bin.bench"]
    modules += [f"espnet2.bin.bench {kind}" for kind in KINDS]
    options = set().union(*(options_of(help_of(module)) for module in modules))
    scripts = [path for path in TRACKED if path.endswith(".sh")]
    options |= set().union(*(options_of(help_of_script(path)) for path in scripts))
    return options | {"--help"}


@pytest.mark.parametrize("document", CURRENT)
def test_options_in_the_text_exist(document, known):
    named = {option for span in spans(document) for option in options_of(span)}
    assert sorted(named - known - OTHERS - set().union(*FOREIGN.values())) == []


def fields_of(config):
    return {field.name: field for field in dataclasses.fields(config)}


def leads_somewhere(config, keys):
    """Whether the keys lead from a configuration class to a field; dictionaries hold anything."""
    if not keys:
        return True
    if config is None:
        return False
    if keys[0] not in fields_of(config):
        return False
    hint = typing.get_type_hints(config)[keys[0]]
    if typing.get_origin(hint) is dict:
        keys = keys[1:]  # a name of the reader's
    inside = [t for t in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(t)]
    if len(keys) > 1 and not inside:
        return typing.get_origin(hint) is dict or dict in typing.get_args(hint)
    return leads_somewhere(inside[0] if inside else None, keys[1:])


def is_key(path):
    """Whether ``a.b.c`` is a key of a section, or of a part that the text speaks of."""
    first, *rest = path.split(".")
    if first == "pretrain" and rest and rest[0] in PARTS:
        return leads_somewhere(PARTS[rest[0]], rest[1:])
    if first in PARTS and leads_somewhere(PARTS[first], rest):
        return True
    if first in SECTIONS and leads_somewhere(SECTIONS[first], rest):
        return True
    return any(leads_somewhere(config, [first, *rest]) for config in SECTIONS.values())


ROOTS = {*SECTIONS, *PARTS, *(name for config in SECTIONS.values() for name in fields_of(config))}


@pytest.mark.parametrize("document", CURRENT)
def test_configuration_keys_in_the_text_exist(document):
    named = {re.split(r"[=:]", span)[0] for span in spans(document)}
    keys = {n for n in named if re.fullmatch(r"[a-z]\w*(\.\w+)+", n) and not FILES.search(n)}
    keys = {key for key in keys if key.split(".")[0] in ROOTS}
    assert sorted(key for key in keys if not is_key(key)) == []


@pytest.mark.parametrize("document", CURRENT)
def test_settings_on_command_lines_exist(document):
    lost = []
    for block in blocks(document, "bash"):
        for words in commands_of(block.text):
            if words[0].endswith(DRIVERS) or "espnet2.bin" in " ".join(words):
                pairs = zip(words, words[1:], strict=False)
                given = [value.partition("=")[0] for flag, value in pairs if flag == "--set"]
                lost += [key for key in given if not is_key(key)]
    for span in spans(document):
        if "--set " in span and "…" not in span and "section.key" not in span:
            for value in re.findall(r"--set (\S+)", " ".join(shlex.split(span))):
                lost += [value] if not is_key(value.partition("=")[0]) else []
    assert lost == []


@cache
def words_of_the_code():
    """Words of every tracked file that is no document."""
    files = [ROOT / path for path in TRACKED if not path.endswith((".md", ".npz", ".png"))]
    texts = [file.read_text(errors="ignore") for file in files if file.is_file()]
    return {word for text in texts for word in re.findall(r"\w+", text)}


@pytest.mark.parametrize("document", CURRENT)
def test_names_with_underscores_stand_in_the_code(document):
    named = {span for span in spans(document) if re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", span)}
    assert sorted(named - words_of_the_code() - NAMES_OF_OTHERS) == []


def test_a_key_that_is_not_there_is_found_out():
    assert is_key("plan.batch_bins")
    assert is_key("tokens.teacher_conf.layer")
    assert is_key("pretrain.optim_conf.lr")
    assert is_key("tune.encoder")
    assert is_key("finetune.encoders.mine.kind")
    assert not is_key("finetune.encoders.mine.knid")
    assert not is_key("plan.batch_bin")
    assert not is_key("pretrain.optim_conf.rl")
    assert not is_key("finetune.tune.encode")
