"""Debian packages: pinned, fetched again when damaged, whole or absent."""

import hashlib
import shutil
import subprocess

import pytest

from espnet2.data.corpora import apt as apt_module
from espnet2.data.corpora.apt import Apt, NotOfferedError, require_tools
from espnet2.data.corpora.config import PackageSpec
from espnet2.data.corpora.debian import PackageStore
from espnet2.utils.errors import DataError

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb here")


class FakeMirror:
    """Gives out one archive after the other."""

    def __init__(self, *archives):
        self.archives, self.fetched = list(archives), 0

    def fetch(self, name, version, target, progress):
        self.fetched += 1
        target.write_bytes(self.archives.pop(0))
        progress(target.stat().st_size)


def spec_of(data):
    return PackageSpec(version="1.0", sha256=hashlib.sha256(data).hexdigest(), size=len(data))


@pytest.fixture
def archive(tmp_path):
    """The bytes of a small .deb with two files."""
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: tiny\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@b>\nDescription: tiny\n"
    )
    (tree / "usr/share/tiny").mkdir(parents=True)
    for name in ("a", "b"):
        (tree / f"usr/share/tiny/{name}.txt").write_text(name)
    path = tmp_path / "tiny.deb"
    subprocess.run(
        ["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(tree), str(path)],
        check=True, capture_output=True,
    )  # fmt: skip
    return path.read_bytes()


@needs_dpkg
def test_package_is_unpacked_once_and_again_when_a_file_is_gone(tmp_path, archive):
    mirror = FakeMirror(archive)
    store = PackageStore(tmp_path / "down loads", mirror)
    packages = {"tiny": spec_of(archive)}
    store.ensure(packages, nj=1)
    store.ensure(packages, nj=1)
    file = store.folder("tiny") / "usr/share/tiny/a.txt"
    assert file.read_text() == "a"
    file.unlink()
    assert not store.is_ready("tiny", packages["tiny"])
    store.ensure(packages, nj=1)
    assert file.read_text() == "a"
    assert mirror.fetched == 1


@needs_dpkg
def test_damaged_archive_is_fetched_again_once(tmp_path, archive, capsys):
    mirror = FakeMirror(archive[:-5], archive)
    store = PackageStore(tmp_path, mirror)
    store.ensure({"tiny": spec_of(archive)}, nj=1)
    assert mirror.fetched == 2
    assert store.is_ready("tiny", spec_of(archive))
    assert "is damaged" in capsys.readouterr().err


@needs_dpkg
def test_archive_that_is_twice_not_the_pinned_one_is_refused_and_deleted(tmp_path):
    store = PackageStore(tmp_path, FakeMirror(b"other", b"other"))
    with pytest.raises(DataError, match=r"tiny 1.0: the archive fetched is not the pinned one"):
        store.ensure({"tiny": spec_of(b"pinned")}, nj=1)
    assert list((tmp_path / "debian/archives").iterdir()) == []
    assert not store.folder("tiny").exists()


@needs_dpkg
def test_archive_that_does_not_unpack_leaves_nothing_behind(tmp_path):
    store = PackageStore(tmp_path, FakeMirror(b"no archive"))
    with pytest.raises(DataError, match=r"cannot unpack .*tiny.deb"):
        store.ensure({"tiny": spec_of(b"no archive")}, nj=1)
    assert not store.folder("tiny").exists()
    assert not list(store.root.glob("*.part"))


@needs_dpkg
def test_packages_that_would_not_fit_are_not_fetched(tmp_path):
    mirror = FakeMirror()
    huge = PackageSpec(version="1.0", sha256="0", size=10**18)
    with pytest.raises(
        DataError, match=r"needs 2500000000000 MB for tiny, but only \d+ MB are free"
    ):
        PackageStore(tmp_path, mirror).ensure({"tiny": huge}, nj=1)
    assert mirror.fetched == 0


def test_system_without_debian_tools_is_told_apart(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotOfferedError, match=r"apt-get is not on PATH: not a Debian-like system"):
        require_tools()


def mirror_with(monkeypatch, tmp_path, answers, has_lists=True):
    """An Apt whose ways answer ``answers`` (None: success) without touching the network."""
    apt = Apt(tmp_path / "apt", "bookworm", None)
    tried = []

    def download(way, package, target, progress):
        tried.append(way)
        return answers[way]

    monkeypatch.setattr(apt, "prepare", lambda way: None)
    monkeypatch.setattr(apt, "download", download)
    if has_lists:
        apt.lists("fresh").mkdir(parents=True)
        (apt.lists("fresh") / "x_Packages.lz4").touch()
    return apt, tried


def test_ways_that_failed_are_not_tried_for_the_next_package(monkeypatch, tmp_path):
    answers = {"system": "Version '1' was not found", "fresh": None, "release": None}
    apt, tried = mirror_with(monkeypatch, tmp_path, answers)
    for _ in range(2):
        apt.fetch("tiny", "1", tmp_path / "tiny.deb", print)
    assert tried == ["system", "fresh", "fresh"]


def test_package_that_no_mirror_has_is_not_offered(monkeypatch, tmp_path):
    gone = "Version '1' for 'tiny' was not found"
    apt, _ = mirror_with(monkeypatch, tmp_path, dict.fromkeys(["system", "fresh", "release"], gone))
    with pytest.raises(NotOfferedError, match=r"no mirror offers tiny 1 \(Version '1' for 'tiny'"):
        apt.fetch("tiny", "1", tmp_path / "tiny.deb", print)


def test_no_network_is_an_error_that_says_what_to_do(monkeypatch, tmp_path):
    answers = dict.fromkeys(["system", "fresh", "release"], "Unable to locate package tiny")
    apt, _ = mirror_with(monkeypatch, tmp_path, answers, has_lists=False)
    with pytest.raises(DataError, match=r"cannot fetch tiny 1: .*; check the network") as error:
        apt.fetch("tiny", "1", tmp_path / "tiny.deb", print)
    assert not isinstance(error.value, NotOfferedError)
    assert "--set data.real=never" in str(error.value)


def test_full_disk_is_said_at_once(monkeypatch, tmp_path):
    full = "You don't have enough free space in /tmp/."
    apt, tried = mirror_with(monkeypatch, tmp_path, dict.fromkeys(["system", "fresh"], full))
    with pytest.raises(DataError, match=r"cannot fetch tiny: You don't have enough free space"):
        apt.fetch("tiny", "1", tmp_path / "tiny.deb", print)
    assert tried == ["system"]


def test_source_of_the_pinned_release_uses_the_given_mirror(monkeypatch, tmp_path):
    monkeypatch.setattr(apt_module, "KEYRINGS", [tmp_path / "keyring.gpg"])
    apt = Apt(tmp_path, "bookworm", "file:/a/mirror")
    assert apt.source_line() == "deb [trusted=yes] file:/a/mirror bookworm main\n"
    (tmp_path / "keyring.gpg").touch()
    assert f"[signed-by={tmp_path}/keyring.gpg]" in apt.source_line()
