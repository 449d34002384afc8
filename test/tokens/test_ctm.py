import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokens import make_set

from espnet2.tokens.quality.ctm import (
    SILENT,
    UNCOVERED,
    Aligned,
    Coverage,
    Segment,
    Tokens,
    aligned_rows,
    merged,
    read_ctm,
)
from espnet2.utils.errors import DataError


def aligned(*segments, path="x.ctm"):
    return Aligned("u", path, [Segment(*s, line) for line, s in enumerate(segments, 1)])


def read(tmp_path, text, name="a.ctm"):
    path = tmp_path / name
    path.write_text(text)
    return [(one.utt_id, one.segments) for one in read_ctm(path)]


def test_a_frame_has_the_token_that_covers_its_centre():
    # Centres are samples 200, 520, 840, 1160: a segment has its first sample and not its end.
    one = aligned((0, 200, "a"), (200, 520, "b"), (521, 840, "c"), (840, 1161, "d"))
    tokens = Tokens()
    assert one.frame_tokens(5, tokens).tolist() == [1, UNCOVERED, 3, 3, UNCOVERED]
    assert tokens.names == ["a", "b", "c", "d"]
    assert one.frame_tokens(0, tokens).tolist() == []


def test_silence_is_silence_in_any_case_and_what_the_user_says_it_is():
    one = aligned((0, 320, "SIL"), (320, 640, "h#"), (640, 960, "<eps>"))
    tokens = Tokens()
    assert one.frame_tokens(3, tokens).tolist() == [SILENT, 0, SILENT]
    assert (tokens.names, tokens.silent) == (["h#"], ["SIL", "<eps>"])
    assert one.frame_tokens(3, Tokens(["H#"])).tolist() == [0, SILENT, 1]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), min_size=1, max_size=8))
def test_frames_are_those_of_a_plain_search(pieces):
    segments, place = [], 0
    for number, (gap, length) in enumerate(pieces):
        segments.append((place + gap, place + gap + length, f"t{number}"))
        place += gap + length
    expected = []
    for frame in range(20):
        covering = [
            n for n, (start, end, _) in enumerate(segments) if start <= 320 * frame + 200 < end
        ]
        expected.append(f"t{covering[0]}" if covering else None)
    tokens = Tokens()
    found = aligned(*segments).frame_tokens(20, tokens)
    assert [tokens.names[n] if n >= 0 else None for n in found] == expected


def test_a_ctm_is_read_utterance_by_utterance(tmp_path):
    text = (
        ";; made by an aligner\n"
        "a 1 0.10 0.20 x\n"
        "a 1 0.30 0.10 y 0.98\n"  # 0.1 + 0.2 > 0.3 as floating point numbers: no overlap
        "\n"
        "a_b\tA\t0\t0.5\tпривет\n"
        "é 1 1.0 0 z\n"
    )
    assert read(tmp_path, text) == [
        ("a", [(1600, 4800, "x", 2), (4800, 6400, "y", 3)]),
        ("a_b", [(0, 8000, "привет", 5)]),
        ("é", [(16000, 16000, "z", 6)]),
    ]
    assert read(tmp_path, "") == []


def test_times_of_two_decimals_may_overlap_by_a_digit_and_the_later_segment_has_the_frame(tmp_path):
    [(_, segments)] = read(tmp_path, "u 1 0.00 0.04 a\nu 1 0.03 0.02 b\n")
    assert Aligned("u", "x", segments).frame_tokens(2, Tokens()).tolist() == [0, 1]
    read(tmp_path, "u 1 0.00 0.0335 a\nu 1 0.03 0.02 b\n")
    with pytest.raises(DataError, match="segments may not overlap and are sorted with LC_ALL=C"):
        read(tmp_path, "u 1 0.00 0.041 a\nu 1 0.03 0.02 b\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b 1 0.5 a", "4 fields; a line is 'utterance channel start duration token'"),
        ("b 1 0.5 0.1 a 1 1", "7 fields"),
        ("b 1 half 0.1 a", "b: start and duration must be seconds from 0, got 'half 0.1'"),
        ("b 1 0.5 nan a", "must be seconds from 0, got '0.5 nan'"),
        ("b 1 0.5 inf a", "must be seconds from 0"),
        ("b 1 -0.5 0.1 a", "must be seconds from 0, got '-0.5 0.1'"),
        ("b 1 0.5 -0.1 a", "must be seconds from 0"),
        ("b 1 0.2 0.1 a", "b: begins at 0.200 s, before the end of line 2 at 0.500 s"),
        ("a 1 0.5 0.1 a", "a is out of order after b; sort with LC_ALL=C sort -k1,1 -k3,3g"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path, line, message):
    path = tmp_path / "bad.ctm"
    path.write_text(f"a 1 0 0.5 x\nb 1 0 0.5 x\n{line}\nc 1 0 0.5 x\n")
    utterances = read_ctm(path)
    assert next(utterances).utt_id == "a"  # before the wrong line is looked at
    with pytest.raises(DataError) as error:
        list(utterances)
    assert str(error.value).startswith(f"{path}:3: ")
    assert message in str(error.value)


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / "bad.ctm").write_bytes(b"a 1 0 0.5 \xff\n")
    with pytest.raises(DataError, match=r"bad\.ctm:1: not UTF-8"):
        list(read_ctm(tmp_path / "bad.ctm"))


def test_several_files_are_read_as_one_and_may_not_share_an_utterance(tmp_path):
    one, two = tmp_path / "1.ctm", tmp_path / "2.ctm"
    one.write_text("a 1 0 0.5 x\nc 1 0 0.5 x\n")
    two.write_text("b 1 0 0.5 x\nd 1 0 0.5 x\n")
    assert [one.utt_id for one in merged([one, two])] == ["a", "b", "c", "d"]
    two.write_text("b 1 0 0.5 x\nc 1 0 0.5 x\n")
    with pytest.raises(DataError, match=r"2\.ctm:2: c is in .*1\.ctm too"):
        list(merged([one, two]))


def test_an_index_and_an_alignment_are_walked_in_step(tmp_path):
    index = make_set(tmp_path, lengths=[4000, 4000, 4000, 4000, 300])
    ids = sorted(index.utt_ids)
    path = tmp_path / "a.ctm"
    spoken = ["0", ids[1], f"{ids[1]}x", ids[3], "zz"]
    path.write_text("".join(f"{name} 1 0 0.1 x\n" for name in spoken))
    coverage = Coverage()
    found = list(aligned_rows(index, [path], Tokens(), coverage))
    assert [index.utt_ids[row] for row, *_ in found] == [ids[1], ids[3]]
    assert [language for _, language, _ in found] == [index.languages[row] for row, *_ in found]
    assert vars(coverage) == {
        "utterances": 5, "aligned_utterances": 2, "first_without": ids[0],
        "other_utterances": 3, "first_other": "0", "frames": 48, "frames_without": 24,
        "uncovered_frames": 0, "silent_frames": 0, "compared_frames": 0,
    }  # fmt: skip


def test_an_alignment_of_longer_audio_is_refused(tmp_path):
    index = make_set(tmp_path, lengths=[4000])
    name, path = index.utt_ids[0], tmp_path / "a.ctm"
    path.write_text(f"{name} 1 0 0.2 x\n{name} 1 0.2 0.15 y\n")
    assert len(list(aligned_rows(index, [path], Tokens(), Coverage()))) == 1
    path.write_text(f"{name} 1 0 0.2 x\n{name} 1 0.2 9 sil\n")  # which stage 2 may have cut off
    assert len(list(aligned_rows(index, [path], Tokens(), Coverage()))) == 1
    path.write_text(f"{name} 1 0 0.2 x\n{name} 1 0.2 0.151 y\n")
    with pytest.raises(
        DataError, match=r"a\.ctm:2: train-000 ends at 0\.250 s, this segment at 0\.351"
    ):
        list(aligned_rows(index, [path], Tokens(), Coverage()))


def test_frames_are_whole_numbers_that_index_tables():
    assert aligned((0, 320, "a")).frame_tokens(1, Tokens()).dtype == np.int64
