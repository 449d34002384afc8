"""Transcripts along their audio: letters that are tones are found where they sound."""

import numpy as np
import pytest
from sung_letters import PITCH_HZ, choir, make_sung, read_ctm, sing, write_text

from espnet2.tokens.align import aligner
from espnet2.tokens.align.aligner import align_text, spelled
from espnet2.tokens.align.hmm import Sums
from espnet2.utils.errors import DataError


def align(folder, clips, texts, seed=1, order=None):
    """The summary and the CTM of one set."""
    folder.mkdir()
    index = make_sung(folder / "dump", clips, order=order)
    text = write_text(folder / "text", texts)
    return align_text([index], [text], folder / "out.ctm", seed), folder / "out.ctm"


def dropped(ctm):
    """{utt_id: [reason, detail]} of what was left out."""
    rows = ctm.with_name("out.ctm.dropped.tsv").read_text().splitlines()[1:]
    return {utt_id: rest for utt_id, *rest in (row.split("\t") for row in rows)}


def check_borders(found, truth, within_s=0.04):
    for utt_id, spans in truth.items():
        letters = [segment for segment in found[utt_id] if segment[0] != "sil"]
        assert [segment[0] for segment in letters] == [span[0] for span in spans]
        for (_, start, end), (_, true_start, true_end) in zip(letters, spans, strict=True):
            assert start == pytest.approx(true_start, abs=within_s)
            assert end == pytest.approx(true_end, abs=within_s)


def test_letters_that_are_tones_are_found_within_two_frames(tmp_path):
    clips, texts, truth = choir()
    summary, ctm = align(tmp_path / "one", clips, texts)
    check_borders(read_ctm(ctm), truth)
    assert summary["aligned"] == 8
    assert summary["left_out"] == {}
    likelihoods = summary["languages"]["eng"]["log_likelihood"]
    assert len(likelihoods) == 8
    assert likelihoods[-1] > likelihoods[0]


def test_segments_cover_all_frames_of_an_utterance_in_order_and_utterances_are_sorted(tmp_path):
    clips, texts, _ = choir()
    found = read_ctm(align(tmp_path / "one", clips, texts)[1])
    assert list(found) == sorted(clips)
    for utt_id, segments in found.items():
        starts, ends = [s for _, s, _ in segments], [e for _, _, e in segments]
        assert starts == [0.0, *ends[:-1]]
        frames = (len(clips[utt_id][0]) - 400) // 320 + 1
        assert ends[-1] == pytest.approx(0.02 * frames)
    pauses = [token for token, _, _ in found["eng-0"]]
    assert pauses == ["sil", "a", "b", "c", "sil", "d", "e", "sil"]


def test_neither_the_order_of_rows_nor_the_sets_they_stand_in_change_a_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(aligner, "TRAINING_FRAMES", 300)  # the first few of each order
    clips, texts, _ = choir()
    one = align(tmp_path / "one", clips, texts)[1].read_bytes()
    again = align(tmp_path / "two", clips, texts, order=sorted(clips)[::-1])[1].read_bytes()
    halves = [
        make_sung(tmp_path / "dump", dict(part), name)
        for name, part in (("a", list(clips.items())[::2]), ("b", list(clips.items())[1::2]))
    ]
    align_text(halves, [tmp_path / "one" / "text"], tmp_path / "halves.ctm", 1)
    assert one == again == (tmp_path / "halves.ctm").read_bytes()


def test_languages_do_not_share_models(tmp_path):
    """One letter is a low tone here and a high one there."""
    upside_down = dict(zip(PITCH_HZ, reversed(PITCH_HZ.values()), strict=True))
    clips, texts, truth = choir("eng")
    alone = align(tmp_path / "alone", clips, texts)[1].read_text()
    more = choir("fra", upside_down)
    summary, ctm = align(tmp_path / "both", clips | more[0], texts | more[1])
    check_borders(read_ctm(ctm), truth | more[2])
    assert ctm.read_text().startswith(alone)
    assert sorted(summary["languages"]) == ["eng", "fra"]


def test_what_cannot_be_aligned_is_named_with_its_reason(tmp_path):
    clips, texts, _ = choir()
    clips |= {
        "eng-long": (sing("ab", 1)[0], "eng"),
        "eng-mute": (sing("ab", 2)[0], "eng"),
        "eng-number": (sing("ab", 3)[0], "eng"),
        "eng-short": (sing("ab", 4)[0][:399], "eng"),
    }
    texts |= {"eng-long": "abcdefgh" * 9, "eng-number": "12, 34", "eng-short": "a"}
    texts["eng-of-no-audio"] = "abc"
    summary, ctm = align(tmp_path / "one", clips, texts)
    assert summary["aligned"] == 8
    assert summary["left_out"] == {"too short for its text": 2, "no text": 1, "no letters": 1}
    rows = dropped(ctm)
    assert rows["eng-mute"][0] == "no text"
    assert rows["eng-number"] == ["no letters", "12, 34"]
    assert rows["eng-short"] == ["too short for its text", "0 frames, its letters need 2"]
    assert rows["eng-long"][1].endswith("frames, its letters need 144")
    assert set(read_ctm(ctm)) == set(choir()[0])


def test_two_frames_for_each_letter_are_enough(tmp_path):
    clips, texts, _ = choir()
    clips["eng-fast"] = (sing("ab", 5)[0][: 400 + 7 * 320], "eng")  # 8 frames
    summary, ctm = align(tmp_path / "one", clips, texts | {"eng-fast": "abab"})
    assert summary["aligned"] == 9
    assert [token for token, *_ in read_ctm(ctm)["eng-fast"]] == ["a", "b", "a", "b"]
    summary, ctm = align(tmp_path / "two", clips, texts | {"eng-fast": "ababa"})
    assert dropped(ctm) == {"eng-fast": ["too short for its text", "8 frames, its letters need 10"]}


def test_an_utterance_with_a_letter_that_was_not_trained_on_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(aligner, "TRAINING_FRAMES", 1)
    clips, texts, _ = choir()
    summary, ctm = align(tmp_path / "one", clips, texts)
    assert summary["languages"]["eng"]["trained_on"] == 1
    assert summary["left_out"] == {"untrained letter": 8 - summary["aligned"]}
    rows = dropped(ctm)
    assert rows
    for reason, letters in rows.values():
        assert reason == "untrained letter"
        assert set(letters.split(" ")) < set("abcdefgh")


def test_a_letter_that_always_sounds_the_same_has_a_variance():
    sums = Sums(2, mean=np.zeros(3), variance=np.array([1.0, 4.0, 100.0]))
    sums.add(np.full((10_000, 3), 1000.0), np.ones(10_000, np.int64))
    found = sums.models({"a": 1})
    assert found.variances[0].tolist() == [1.0, 4.0, 100.0]  # never heard: that of the language
    assert found.means[1] == pytest.approx(1000.0, rel=1e-3)
    still = Sums(2, mean=np.full(3, 1000.0), variance=np.array([1.0, 4.0, 100.0]))
    still.add(np.full((10_000, 3), 1000.0), np.ones(10_000, np.int64))
    assert still.models({"a": 1}).variances[1] == pytest.approx([0.1, 0.4, 10.0])


def test_digits_and_punctuation_are_dropped_and_counted_and_letters_are_small_and_composed():
    assert spelled("L'Été 42 – Straße!") == (["lété", "strasse"], 5)
    assert spelled("cafe\u0301") == (["café"], 0)
    assert spelled("नमस्ते") == (["नमस्ते"], 0)
    assert spelled("") == ([], 0)


def test_dropped_characters_of_aligned_texts_are_counted(tmp_path):
    clips, texts, _ = choir()
    texts["eng-0"] = "ABC, de."
    summary, _ = align(tmp_path / "one", clips, texts)
    assert summary["dropped_characters"] == 2


def test_texts_that_contradict_each_other_or_are_out_of_order_are_refused(tmp_path):
    clips, texts, _ = choir()
    index = make_sung(tmp_path / "dump", clips)
    text = write_text(tmp_path / "text", texts)
    other = write_text(tmp_path / "other", {"eng-3": "abc"})
    out = tmp_path / "out.ctm"
    with pytest.raises(DataError, match=r"eng-3: has a line in .*text and in .*other; name one"):
        align_text([index], [text, other], out, 1)
    with pytest.raises(DataError, match="eng-[0-7]: stands in two of the sets"):
        align_text([index, index], [text], out, 1)
    other.write_text("eng-1 a\neng-0 b\n")
    with pytest.raises(DataError, match=r"other:2: eng-0 is out of order"):
        align_text([index], [other], out, 1)
    with pytest.raises(DataError, match="nothing can be aligned; left out: no text 8"):
        align_text([index], [write_text(other, {"eng-9": "abc"})], out, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dump", "other", "text"]
