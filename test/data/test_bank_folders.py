import os

import pytest

from espnet2.data.banks.folders import audio_files, files_digest
from espnet2.utils.errors import ConfigError, DataError

MUSAN = [
    "musan/README",
    "musan/music/fma/music-fma-0000.wav",
    "musan/noise/free-sound/noise-free-sound-0000.wav",
    "musan/noise/free-sound/ANNOTATIONS",
    "musan/speech/librivox/speech-librivox-0000.wav",
]
SLR28 = [
    "RIRS_NOISES/simulated_rirs/smallroom/Room001/Room001-00001.wav",
    "RIRS_NOISES/simulated_rirs/smallroom/rir_list",
    "RIRS_NOISES/real_rirs_isotropic_noises/air_type1_aula.wav",
    "RIRS_NOISES/real_rirs_isotropic_noises/RVB2014_noise_1.wav",
    "RIRS_NOISES/real_rirs_isotropic_noises/neither.wav",
    "RIRS_NOISES/pointsource_noises/noise-free-sound-0000.wav",
]
DNS = [
    "DNS/datasets_fullband/clean_fullband/read_speech/a.wav",
    "DNS/datasets_fullband/noise_fullband/b.wav",
    "DNS/datasets_fullband/noise_fullband/.hidden.wav",
    "DNS/datasets_fullband/impulse_responses/SLR26/simulated_rirs_48k/c.wav",
]
LISTS = {
    "rir_list": "--rir-id 1 --room-id 2 RIRS_NOISES/real_rirs_isotropic_noises/air_type1_aula.wav",
    "noise_list": "--noise-id 1 --noise-type isotropic "
    "RIRS_NOISES/real_rirs_isotropic_noises/RVB2014_noise_1.wav",
}


def make(root, names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def archive(tmp_path):
    """A folder with all three data sets side by side."""
    make(tmp_path, [*MUSAN, *SLR28, *DNS])
    for name, line in LISTS.items():
        path = tmp_path / "RIRS_NOISES/real_rirs_isotropic_noises" / name
        path.write_text(line + "\n")
    return tmp_path


def found(folder, role, parts=("noise", "music")):
    return {file.name: file.kind for file in audio_files([str(folder)], role, list(parts))}


def test_noise_is_found_in_every_data_set_below_one_folder(archive):
    assert found(archive, "noise") == {
        "DNS/datasets_fullband/noise_fullband/b.wav": "dns",
        "RIRS_NOISES/pointsource_noises/noise-free-sound-0000.wav": "slr28/pointsource_noises",
        "RIRS_NOISES/real_rirs_isotropic_noises/RVB2014_noise_1.wav": "slr28/isotropic",
        "musan/music/fma/music-fma-0000.wav": "musan/music",
        "musan/noise/free-sound/noise-free-sound-0000.wav": "musan/noise",
    }


def test_rooms_are_found_in_every_data_set_below_one_folder(archive):
    assert found(archive, "rir") == {
        "DNS/datasets_fullband/impulse_responses/SLR26/simulated_rirs_48k/c.wav": "dns",
        "RIRS_NOISES/real_rirs_isotropic_noises/air_type1_aula.wav": "slr28/real",
        "RIRS_NOISES/simulated_rirs/smallroom/Room001/Room001-00001.wav": "slr28/simulated_rirs",
    }


@pytest.mark.parametrize("given", ["musan", "."])
def test_the_parts_of_musan_are_chosen(archive, given):
    kinds = set(found(archive / given, "noise", ["speech"]).values())
    assert {kind for kind in kinds if "musan" in kind} == {"musan/speech"}


def test_the_rooms_of_dns_may_lie_in_the_layout_of_openslr(tmp_path):
    inner = "datasets/impulse_responses/SLR28/RIRS_NOISES/real_rirs_isotropic_noises"
    make(tmp_path, ["datasets/noise/n.wav", f"{inner}/a.wav", f"{inner}/b.wav"])
    (tmp_path / inner / "rir_list").write_text(
        "--rir-id 1 --room-id 1 RIRS_NOISES/real_rirs_isotropic_noises/b.wav\n"
    )
    assert list(found(tmp_path, "rir")) == [f"{inner}/b.wav"]
    assert list(found(tmp_path, "noise")) == ["datasets/noise/n.wav"]


def test_a_part_of_openslr_may_be_given_alone(archive):
    real = archive / "RIRS_NOISES/real_rirs_isotropic_noises"
    assert found(real, "rir") == {"air_type1_aula.wav": "slr28/real"}
    assert found(real, "noise") == {"RVB2014_noise_1.wav": "slr28/isotropic"}
    assert len(found(archive / "RIRS_NOISES/simulated_rirs", "rir")) == 1


def test_a_name_that_is_not_utf8_is_spelled_out(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.wav")).touch()
    (file,) = audio_files([str(tmp_path)], "noise", [])
    assert file.name == "\\xff.wav"
    assert len(files_digest([file])) == 64


def test_any_other_folder_gives_all_its_audio_in_byte_order(tmp_path):
    make(tmp_path, ["b/x.FLAC", "B.wav", "a.ogg", "notes.txt", "b/.x.wav", "é.mp3", "c d.wav"])
    names = list(found(tmp_path, "noise"))
    assert names == ["B.wav", "a.ogg", "b/x.FLAC", "c d.wav", "é.mp3"]
    assert set(found(tmp_path, "rir").values()) == {"folder"}


def test_folders_without_what_is_wanted_are_refused(archive, tmp_path):
    with pytest.raises(ConfigError, match=r"augment.noise_dirs: .*/absent: no such folder"):
        found(tmp_path / "absent", "noise")
    with pytest.raises(ConfigError, match=r"rir_dirs: .*/musan holds no impulse responses"):
        found(archive / "musan", "rir")
    (archive / "RIRS_NOISES/real_rirs_isotropic_noises/rir_list").unlink()
    with pytest.raises(DataError, match=r"rir_list is missing; unpack rirs_noises.zip"):
        found(archive, "rir")


def test_a_replaced_file_changes_the_digest_of_a_listing(archive):
    digests = []
    for content in ("a", "bb"):
        (archive / "musan/music/fma/music-fma-0000.wav").write_text(content)
        files = list(audio_files([str(archive)], "noise", ["noise", "music"]))
        digests += [files_digest(files), files_digest(files)]
    assert digests[0] == digests[1] != digests[2] == digests[3]
