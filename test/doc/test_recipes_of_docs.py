"""Recipes that the documents have a reader write: their YAML is read, one is run to its export."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from documents import ROOT, blocks
from shell_blocks import dry

from espnet2.data.config import BankConfig, CombineConfig, FormatConfig, PlanConfig
from espnet2.data.corpora.config import load_corpora
from espnet2.tasks.ssl import SSLTask
from espnet2.tokens.config import TokensConfig
from espnet2.train.cells import FinetuneConfig
from espnet2.train.pretrain import split_options
from espnet2.utils.config import from_dict, load_section

CONFIGS = {
    "format": FormatConfig, "combine": CombineConfig, "augment": BankConfig, "plan": PlanConfig,
    "tokens": TokensConfig, "finetune": FinetuneConfig,
}  # fmt: skip
TOY = """\
base: {root}/conf/mini.yaml
combine: {{valid_ratio: 0.2}}
tokens: {{num_clusters: 20, max_dead_ratio: 1.0}}
augment: {{num_coloured: 1, num_babble: 1, num_rirs: 1}}
pretrain:
  encoder_conf: {{output_size: 32, num_blocks: 1, linear_units: 64, cgmlp_linear_units: 64}}
  frontend_conf: {{shapes: [[8, 40, 20], [8, 7, 4], [8, 4, 4]]}}
  preencoder_conf: {{output_size: 32}}
  loss_conf: {{final_dim: 16, layers: [0], layer_weights: [1.0]}}
"""


def test_the_recipe_of_from_zero_is_read_by_every_stage(checkout):
    lines = [line for b in blocks("doc/from_zero.md", "bash") for line in dry(b.text).split("\n")]
    program = "\n".join(line for line in lines if not line.endswith("--dry_run"))
    subprocess.run(["bash", "-euo", "pipefail", "-c", program], cwd=checkout, check=True)
    recipe = checkout / "egs2/own/ssl1"
    assert (recipe / "run.sh").stat().st_mode & 0o100
    corpora = load_corpora(recipe / "local/corpora.yaml", recipe / "downloads").corpora
    assert {name: corpus.kind for name, corpus in corpora.items()} == {
        "radio": "folder", "fleurs": "lhotse"
    }  # fmt: skip
    sections = {name: load_section(recipe / "own.yaml", name) for name in [*CONFIGS, "pretrain"]}
    read = {name: from_dict(config, sections[name], name) for name, config in CONFIGS.items()}
    model, training, _ = split_options(sections["pretrain"])
    assert read["plan"].batch_bins * training.max_steps / 16_000 / 3600 == pytest.approx(
        44_444, rel=1e-4
    )
    model["loss_conf"] = {**model["loss_conf"], "num_classes": read["tokens"].num_clusters}
    with torch.device("meta"):
        parameters = SSLTask.build_model(model).parameters()
    assert round(sum(p.numel() for p in parameters) / 1e6) == 96  # as the document says


@pytest.mark.integration
def test_a_corpus_of_ones_own_goes_through_stages_1_to_9(tmp_path):
    """The block of doc/add_a_corpus.md as it stands, with a smaller model and other paths."""
    rng = np.random.default_rng(1)
    (tmp_path / "recordings").mkdir()
    for i in range(12):
        envelope = np.repeat(rng.uniform(0.02, 0.5, 50), 1600)  # 5 s, a level each 0.1 s
        wave = (envelope * rng.standard_normal(80_000)).clip(-1, 1)
        soundfile.write(tmp_path / f"recordings/{i:02}.wav", wave, 16000)
    (tmp_path / "toy.yaml").write_text(TOY.format(root=ROOT))
    [block] = blocks("doc/add_a_corpus.md", "bash")
    driver = ROOT / "egs2/TEMPLATE/ssl1/ssl.sh"
    program = (
        block.text.replace("/data/recordings", str(tmp_path / "recordings"))
        .replace("egs2/TEMPLATE/ssl1/ssl.sh", f"'{driver}' --nj 1 --set pretrain.max_steps=4 "
                 "--set 'pretrain.phases=[{}]' --ssl_tag mini")
        .replace("conf/mini.yaml", str(tmp_path / "toy.yaml"))
    )  # fmt: skip
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", program], cwd=tmp_path, check=False,
        capture_output=True, text=True, env={**os.environ, "XEUS_PYTHON": sys.executable},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    assert "mine: 12 recordings and segments, 1 language; dropped: none" in result.stderr
    recipe = tmp_path / "egs2/mine/ssl1"
    model, _ = SSLTask.build_model_from_file(None, recipe / "exp/ssl_mini/export/hf")
    assert model.encoder.output_size() == 32
