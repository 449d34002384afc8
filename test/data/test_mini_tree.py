"""The ML-SUPERB tree and the Kaldi directory that a split corpus becomes."""

import numpy as np
import pytest
import soundfile

from espnet2.data.corpora.clips import Clip, Dropped
from espnet2.data.corpora.splits import Splits
from espnet2.data.corpora.superb_tree import summary, write_kaldi_folder, write_tree
from espnet2.data.kaldi import check_kaldi, read_kaldi
from espnet2.utils.errors import DataError


@pytest.fixture
def splits(tmp_path):
    """Four clips of 44.1 kHz stereo; one language."""
    folder = tmp_path / "with space"
    folder.mkdir()
    clips = []
    for number in range(4):
        path = folder / f"{number}.wav"
        tone = np.sin(np.arange(22050) / (9 + number))
        soundfile.write(path, np.stack([tone, tone], 1) * 0.3, 44100)
        clips.append(
            Clip(
                utt_id=f"x_fra_{number:06d}", path=path, language="fra", speaker="x_fra",
                text=f"Texte numéro {'i' * number}.", group=str(number), duration_s=0.5,
            )
        )  # fmt: skip
    return Splits(pretrain=clips[:2], train=clips[:1], dev=clips[2:3], test=clips[3:], dropped=[])


def test_tree_holds_16_khz_mono_and_the_lists_of_the_benchmark(tmp_path, splits):
    write_tree(tmp_path / "root", "x", splits)
    folder = tmp_path / "root/x/fra"
    assert (folder / "transcript_10min_test.txt").read_text(encoding="utf-8") == (
        "x_fra_000003 fra Texte numéro iii.\n"
    )
    names = sorted(path.name for path in (folder / "wav").iterdir())
    assert names == ["x_fra_000000.wav", "x_fra_000002.wav", "x_fra_000003.wav"]
    info = soundfile.info(folder / "wav/x_fra_000003.wav")
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (16000, 1, 8000, "PCM_16")


def test_writing_again_replaces_what_an_earlier_run_left(tmp_path, splits):
    old = tmp_path / "root/x/fra/wav/old.wav"
    old.parent.mkdir(parents=True)
    old.touch()
    (tmp_path / "root/.x.part").mkdir()
    write_tree(tmp_path / "root", "x", splits)
    assert not old.exists()
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["x"]


def test_language_without_a_list_is_refused_and_nothing_is_left_in_its_place(tmp_path, splits):
    lacking = Splits(**{**vars(splits), "dev": []})
    with pytest.raises(
        DataError, match=r"corpus x: language fra has no utterance for its dev list"
    ):
        write_tree(tmp_path / "root", "x", lacking)
    assert list((tmp_path / "root").iterdir()) == []


def test_kaldi_folder_points_at_the_files_as_they_come(tmp_path, splits):
    dropped = [Dropped(utt_id="x_fra_000009", reason="copy", detail="x_fra_000001")]
    write_kaldi_folder(tmp_path / "data", "x", splits.pretrain, dropped)
    folder = tmp_path / "data/x"
    assert check_kaldi(folder, audio=True) == []
    first, second = read_kaldi(folder)
    assert first.source == str(splits.pretrain[0].path)
    assert (second.language, second.speaker, second.duration_s) == ("fra", "x_fra", 0.5)
    assert "x_fra_000009\tcopy\tx_fra_000001\n" in (folder / "dropped.tsv").read_text()


def test_summary_counts_every_list(splits):
    result = summary("x", 5, 0.05, splits)
    assert result["in"] == [5, 0.05]
    assert result["lists"]["pretrain"] == [2, 0.02]
    assert result["languages"] == {
        "fra": {"pretrain": 0.02, "train": 0.01, "dev": 0.01, "test": 0.01}
    }
