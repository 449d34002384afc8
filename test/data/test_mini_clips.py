"""Recordings before they are split: copies of one recording, and files that are not audio."""

import numpy as np
import pytest
import soundfile

from espnet2.data.corpora.clips import (
    Clip,
    Dropped,
    count_reasons,
    dropped_table,
    keep_transcribed,
    measure,
    remove_copies,
)


def clip_of(folder, number, samples, text="Ein Text.", language="deu", name=None):
    """A clip with its file; ``samples`` None writes no file."""
    utt_id = f"x_{language}_{number:06d}"
    path = folder / (name or f"{utt_id}.wav")
    if samples is not None:
        soundfile.write(path, samples, 8000)
    return Clip(
        utt_id=utt_id, path=path, language=language, speaker="x", text=text, group=str(number)
    )


@pytest.fixture
def tone():
    return (np.sin(np.arange(9000) / 7) * 9000).astype(np.int16)


def test_one_recording_in_two_containers_is_kept_once(tmp_path, tone):
    clips, dropped = measure(
        [clip_of(tmp_path, 1, tone), clip_of(tmp_path, 0, tone, name="a.flac")]
    )
    kept, copies = remove_copies(clips)
    assert not dropped
    assert [clip.utt_id for clip in kept] == ["x_deu_000000"]
    assert copies == [Dropped(utt_id="x_deu_000001", reason="copy", detail="x_deu_000000")]


def test_recordings_that_differ_in_the_last_sample_are_both_kept(tmp_path, tone):
    other = tone.copy()
    other[-1] += 1
    clips, _ = measure([clip_of(tmp_path, 0, tone), clip_of(tmp_path, 1, other)])
    kept, copies = remove_copies(clips)
    assert (len(kept), copies) == (2, [])


def test_channels_count_when_recordings_are_compared(tmp_path, tone):
    silent = np.zeros_like(tone)
    left, right = np.stack([silent, tone], 1), np.stack([silent, tone[::-1]], 1)
    clips, _ = measure([clip_of(tmp_path, 0, left), clip_of(tmp_path, 1, right)])
    assert len(remove_copies(clips)[0]) == 2


@pytest.mark.parametrize(("text", "language"), [("Ein anderer Text.", "deu"), ("Ein Text.", "nld")])
def test_a_recording_with_two_transcripts_is_not_trusted(tmp_path, tone, text, language):
    clips, _ = measure(
        [clip_of(tmp_path, 0, tone), clip_of(tmp_path, 1, tone, text=text, language=language)]
    )
    kept, dropped = remove_copies(clips)
    assert kept == []
    assert count_reasons(dropped) == {"copy_with_other_text": 2}


def test_of_two_copies_the_one_with_a_transcript_is_kept(tmp_path, tone):
    clips, _ = measure([clip_of(tmp_path, 0, tone, text=None), clip_of(tmp_path, 1, tone)])
    kept, _ = remove_copies(clips)
    assert [clip.text for clip in kept] == ["Ein Text."]


def test_what_is_no_audio_is_dropped_with_its_reason(tmp_path, tone):
    missing = clip_of(tmp_path, 0, None)
    empty = clip_of(tmp_path, 1, tone[:0])
    broken = clip_of(tmp_path, 2, None)
    broken.path.write_bytes(b"no audio")
    clips, dropped = measure([missing, empty, broken, clip_of(tmp_path, 3, tone)])
    assert [(clip.utt_id, clip.duration_s) for clip in clips] == [("x_deu_000003", 9000 / 8000)]
    assert [row.reason for row in dropped] == ["unreadable", "empty_audio", "unreadable"]
    assert dropped[2].detail == f"{broken.path}: Format not recognised."


def test_unusable_transcripts_are_dropped_with_length_and_text(tmp_path, tone):
    clips, _ = measure([clip_of(tmp_path, 0, tone, text="Nummer 7.")])
    kept, dropped = keep_transcribed(clips, (3.0, 26.0))
    assert kept == []
    assert dropped == [Dropped(utt_id="x_deu_000000", reason="digits", detail="1.12 s: Nummer 7.")]


def test_dropped_table_is_sorted_and_keeps_one_row_a_line(tmp_path):
    rows = [
        Dropped(utt_id="b", reason="copy", detail="two\nlines\tand a tab"),
        Dropped(utt_id="a", reason="digits", detail=""),
    ]
    assert dropped_table(rows) == (
        "utt_id\treason\tdetail\na\tdigits\t\nb\tcopy\ttwo lines and a tab\n"
    )
