import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tiny_labels import table_of

from espnet2.tokens.quality import plots
from espnet2.tokens.quality.counts import Counts, summary
from espnet2.tokens.quality.plots import (
    draw_joint,
    draw_languages,
    draw_pnmi,
    draw_runs,
    drawable,
    label_page,
    reference_page,
)
from espnet2.tokens.quality.purity import Joint, figures


def counted(languages, clusters=16, frames=200):
    counts, rng = Counts.empty(clusters), np.random.default_rng(0)
    for language in languages:
        counts.add(rng.integers(0, clusters, frames), np.array([frames]), [language])
    return counts


def image_of(path):
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("L"))


def axes():
    return Figure().add_subplot()


def test_a_page_has_a_row_for_every_language_up_to_a_limit(tmp_path, monkeypatch):
    counts = counted([f"l{number:02d}" for number in range(25)])
    label_page(tmp_path / "many.png", counts, summary(counts))
    many = image_of(tmp_path / "many.png")
    assert many.shape[1] == 1500
    monkeypatch.setattr(plots, "MAX_LANGUAGES", 5)
    label_page(tmp_path / "few.png", counts, summary(counts))
    assert image_of(tmp_path / "few.png").shape[0] < many.shape[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.png", "many.png"]


@pytest.mark.parametrize("languages", [[], ["eng"]])
def test_a_set_of_one_language_or_none_has_a_page(tmp_path, languages):
    counts = counted(languages)
    label_page(tmp_path / "a.png", counts, summary(counts))
    assert image_of(tmp_path / "a.png").std() > 0


def test_the_map_shows_the_share_of_each_cluster_in_a_language_largest_cluster_first():
    counts = Counts.empty(3)
    counts.add(np.array([2, 2, 2, 1, 2, 1, 1, 1, 1, 1]), np.array([4, 6]), ["eng", "fra"])
    panel = axes()
    draw_languages(panel, counts, ["fra", "eng"])
    shares = panel.images[0].get_array()
    np.testing.assert_allclose(shares, [[500 / 6, 100 / 6, 0], [25, 75, 0]])
    assert [label.get_text() for label in panel.get_yticklabels()] == ["fra", "eng"]


def test_long_stretches_share_the_last_bar():
    counts = Counts.empty(2)
    counts.add(np.zeros(24 + 25 + 90, int), np.array([24, 25, 90]), ["eng"] * 3)
    panel = axes()
    draw_runs(panel, counts, summary(counts))
    assert [bar.get_height() for bar in panel.patches][-3:] == [0, 1, 2]


def reference(dense, tokens):
    table = table_of(dense)
    joint = Joint(tokens, {"eng": table}, {"eng": table})
    return joint.pooled, tokens, figures(joint, 0)


def test_clusters_are_ordered_so_that_the_diagonal_shows():
    found = reference([[0, 1, 9, 0], [8, 0, 0, 4], [1, 6, 0, 0]], ["a", "b", "c"])
    panel = axes()
    draw_joint(panel, "mini", *found)
    # Most frequent first: b 12 frames, a 10, c 7; b's clusters are 3 (all of it) and 0.
    assert [label.get_text() for label in panel.get_yticklabels()] == ["b", "a", "c"]
    shares = np.asarray(panel.images[0].get_array())
    np.testing.assert_allclose(shares[:, 0], [100, 0, 0])
    assert shares.argmax(axis=0).tolist() == [0, 0, 1, 2]
    assert panel.get_title().startswith("mini: phone purity 0.931, cluster purity 0.793, PNMI 0.")


def test_every_label_set_has_a_bar_in_every_language_and_its_floor():
    good, bad = reference([[5, 0], [0, 5]], ["a", "b"]), reference([[2, 3], [3, 2]], ["a", "b"])
    panel = axes()
    draw_pnmi(panel, {"good": good[2], "bad": bad[2]})
    heights = [bar.get_height() for bar in panel.patches]
    assert heights == pytest.approx([1.0, bad[2]["pooled"]["pnmi"]])
    assert len(panel.collections) == 2
    legend = {text.get_text() for text in panel.get_legend().get_texts()}
    assert legend == {"good, mean 1.000", "bad, mean 0.029", "labels of another utterance"}


def test_the_page_of_a_reference_takes_any_token_and_one_that_tells_nothing(tmp_path):
    sets = {
        r"$\a_b$ of x": reference([[5, 0, 1], [0, 5, 1], [2, 2, 2]], [r"$\x$", "字", "é"]),
        "other": reference([[2, 3]], ["a"]),
    }
    reference_page(tmp_path / "a.png", sets)
    assert image_of(tmp_path / "a.png").std() > 0
    assert drawable("字") == "5B57"
    assert drawable("ə") == "ə"
