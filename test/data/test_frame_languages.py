"""Batches say which language each frame is in."""

import numpy as np
import pytest
import torch
from planned_sets import make_plan
from toy_dump import write_set

from espnet2.data import dataset
from espnet2.data.augment import CLEAN
from espnet2.data.config import PlanConfig
from espnet2.data.dataset import PretrainBatches
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.data.plan import Plan, build_plan
from espnet2.utils.errors import DataError


def test_every_frame_has_the_language_of_its_utterance(tmp_path):
    languages = ["swa", "deu", "xho", "deu"] * 3
    clips = [np.zeros(8000, np.int16)] * 12
    write_set(tmp_path / "toy", clips, [np.zeros(24)] * 12, languages)
    config = PlanConfig(batch_bins=6 * 8000, num_buckets=1)
    build_plan(tmp_path / "toy/index.arrow", tmp_path / "toy/plan", config, seed=3)
    index = Index.open(tmp_path / "toy")
    labels, plan = LabelStore.open(index, tmp_path / "toy/labels"), Plan.open(tmp_path / "toy/plan")
    batches = PretrainBatches(index, labels, plan, None, None, CLEAN, 0)
    assert list(batches.languages) == ["swa", "deu", "xho"]
    for micro in batches.loader(0, 2, num_workers=1):
        for utt_id, codes in zip(micro[0]["utt_ids"], micro[0]["languages"].tolist(), strict=True):
            assert [batches.languages[code] for code in codes] == [languages[int(utt_id[1:])]] * 24


def test_more_languages_than_a_batch_can_name_are_refused(tmp_path, monkeypatch):
    assert torch.iinfo(torch.int16).max == dataset.MAX_LANGUAGES
    monkeypatch.setattr(dataset, "MAX_LANGUAGES", 2)
    plan = make_plan(tmp_path, [8000] * 3, languages=["deu", "fra", "swa"], num_buckets=1)
    with pytest.raises(DataError, match=r"index.arrow: 3 languages; at most 2 are counted"):
        PretrainBatches(Index.open(tmp_path), None, plan, None, None, CLEAN, 0)
