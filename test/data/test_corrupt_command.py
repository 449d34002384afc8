"""Corrupted tests in stage 10's command: what is refused, and what is redone."""

import json

import numpy as np
import pytest
import soundfile
from toy_talk import talk

from espnet2.bin import superb_data
from espnet2.data.audio import load_pcm
from espnet2.data.kaldi import check_kaldi, read_kaldi
from espnet2.train.cells import finetune_config
from espnet2.utils.errors import ConfigError


def audio_of(folder):
    return {u.utt_id: load_pcm(u.source).samples for u in read_kaldi(folder)}


@pytest.mark.parametrize(
    ("corrupted_section", "message"),
    [
        ({"test": {}}, "corrupted: 'test' must be of a-z"),
        ({"Test noisy": {}}, "corrupted: 'Test noisy' must be of a-z"),
        ({"noisy": {"noise_prob": 1.5}}, "noise_prob must be from 0 to 1, got 1.5"),
        ({"noisy": {"noise_snr_db": [15, 0]}}, r"noise_snr_db must rise, got \[15.0, 0.0\]"),
        ({"noisy": {"snr_db": [0, 15]}}, "snr_db is not a known key; did you mean 'noise_snr_db'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(corrupted_section, message):
    section = {"encoders": {"fbank": {"kind": "fbank"}}, "corrupted": corrupted_section}
    with pytest.raises(ConfigError, match=message):
        finetune_config(section, "conf.yaml")


def superb_tree(root):
    """An ML-SUPERB tree of one language."""
    folder = root / "toy/fra"
    (folder / "wav").mkdir(parents=True)
    for number, split in enumerate(("train", "dev", "test")):
        names = [f"toy_fra_{split}_{i}" for i in range(3)]
        lines = "".join(f"{name} x un mot\n" for name in names)
        (folder / f"transcript_10min_{split}.txt").write_text(lines)
        for i, name in enumerate(names):
            soundfile.write(folder / "wav" / f"{name}.wav", talk(10 * number + i), 16000, "PCM_16")
    return root


def run_stage(tmp_path, section, augment=None):
    """Stage 10's command."""
    conf = tmp_path / "conf.yaml"
    finetune = {"encoders": {"fbank": {"kind": "fbank"}}, "training": {"max_steps": 1}}
    recipe = {"augment": augment or {}, "finetune": {**finetune, "corrupted": section}}
    conf.write_text(json.dumps(recipe))
    words = ["--conf", conf, "--root", tmp_path / "tree", "--out", tmp_path / "dump"]
    return superb_data.main([str(word) for word in [*words, "--log_dir", tmp_path / "log"]])


def test_the_command_makes_the_tests_it_is_given_and_redoes_what_changed(tmp_path, capfd):
    superb_tree(tmp_path / "tree")
    banks = {"num_coloured": 2, "num_babble": 2, "noise_s": 0.5, "num_rirs": 1,
             "t60_s": [0.15, 0.2]}  # fmt: skip
    assert run_stage(tmp_path, {"noisy": {"banks": banks}}) == 0
    noisy = tmp_path / "dump/10min/noisy"
    assert check_kaldi(noisy, audio=True) == []
    before = audio_of(noisy)
    assert sorted(before) == [f"toy_fra_test_{i}" for i in range(3)]
    capfd.readouterr()
    assert run_stage(tmp_path, {"noisy": {"banks": banks}}) == 0
    assert capfd.readouterr().err.count("up to date") == 5
    speech = talk(99)
    soundfile.write(tmp_path / "tree/toy/fra/wav/toy_fra_test_1.wav", speech, 16000, "PCM_16")
    assert run_stage(tmp_path, {"noisy": {"banks": banks}}) == 0
    after = audio_of(noisy)
    assert [np.array_equal(before[u], after[u]) for u in sorted(before)] == [True, False, True]


def segments_of_a_show(root):
    """Kaldi directories whose utterances are stretches of one recording each."""
    for number, split in enumerate(("train", "dev", "test")):
        folder, ids = root / split, [f"{split}_{i}" for i in range(3)]
        folder.mkdir(parents=True)
        sound = np.concatenate([talk(10 * number + i) for i in range(3)])
        soundfile.write(folder / "show.wav", sound, 16000, "PCM_16")
        (folder / "wav.scp").write_text(f"{split}_show {folder}/show.wav\n")
        for name, lines in {
            "text": [f"{utt} un mot" for utt in ids],
            "utt2lang": [f"{utt} fra" for utt in ids],
            "segments": [
                f"{utt} {split}_show {0.5 * i} {0.5 * i + 0.4}" for i, utt in enumerate(ids)
            ],
        }.items():
            (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return root


def test_every_stretch_of_a_recording_is_corrupted_and_made_anew_where_it_changes(tmp_path):
    root = segments_of_a_show(tmp_path / "tree")
    banks = {"num_coloured": 2, "num_babble": 0, "noise_s": 0.5, "num_rirs": 1,
             "t60_s": [0.15, 0.2]}  # fmt: skip
    conf, words = tmp_path / "conf.yaml", []
    recipe = {
        "encoders": {"fbank": {"kind": "fbank"}}, "training": {"max_steps": 1}, "tracks": ["full"],
        "data": {"kind": "kaldi"}, "corrupted": {"noisy": {"banks": banks}},
    }  # fmt: skip
    conf.write_text(json.dumps({"finetune": recipe}))
    words = ["--conf", str(conf), "--root", str(root), "--out", str(tmp_path / "dump")]
    words += ["--log_dir", str(tmp_path / "log")]
    assert superb_data.main(words) == 0
    before = audio_of(tmp_path / "dump/full/noisy")
    assert sorted(before) == ["test_0", "test_1", "test_2"]
    assert {len(samples) for samples in before.values()} == {6400}  # 0.4 s each, none the show
    table = root / "test/segments"
    table.write_text(table.read_text().replace("show 0.5 0.9", "show 0.6 1.0"))
    assert superb_data.main(words) == 0
    after = audio_of(tmp_path / "dump/full/noisy")
    assert [np.array_equal(before[u], after[u]) for u in sorted(before)] == [True, False, True]


@pytest.mark.parametrize("inside", ["", "heard/here"])
def test_recordings_that_training_hears_are_refused(tmp_path, inside):
    given = {"noise_dirs": [str(tmp_path / "musan")]}
    section = {"noisy": {"banks": {"noise_dirs": [str(tmp_path / "musan" / inside)]}}}
    with pytest.raises(ConfigError, match=r"finetune.corrupted.noisy.banks.noise_dirs: .*musan"):
        run_stage(tmp_path, section, augment=given)
