"""A disk that is full or read-only: one line, nothing half-written, and it goes on afterwards."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest
from bad_corpora import write_audio, write_lines

STAGE = [sys.executable, "-m", "espnet2.bin.format_data"]
UNSHARE = ["unshare", "--map-root-user", "--mount", "sh", "-c"]


def can_mount():
    """Whether this user may mount a file system in a namespace of his own."""
    if shutil.which("unshare") is None:
        return False
    probe = [*UNSHARE, "mount -t tmpfs none /mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_mount(), reason="no mounts for this user")


@pytest.fixture
def place(tmp_path):
    """A corpus of ten seconds of noise, which no coder makes smaller."""
    (tmp_path / "dump").mkdir()
    wav = write_audio(tmp_path / "noise.wav", 10.0)
    write_lines(tmp_path / "data/noisy/wav.scp", [("u", wav)])
    (tmp_path / "conf.yaml").touch()
    return tmp_path


def run(place, script):
    """A shell script in a namespace of its own, where ``stage`` is stage 2 and $DUMP its output."""
    folders = {"conf": "conf.yaml", "data": "data", "dump": "dump", "log_dir": "log"}
    words = [word for key, name in folders.items() for word in (f"--{key}", str(place / name))]
    function = "stage() { " + shlex.join([*STAGE, *words]) + "; }\n"
    environment = {**os.environ, "DUMP": str(place / "dump")}
    return subprocess.run(
        [*UNSHARE, function + script],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


def test_a_full_disk_is_said_leaves_nothing_half_written_and_is_resumed_from(place):
    result = run(place, """
        mount -t tmpfs -o size=100k none "$DUMP" || exit 9
        stage && exit 8
        find "$DUMP" -name '*.part' -o -name '*.ark' -o -name '*.done'
        mount -o remount,size=4m "$DUMP" && stage && find "$DUMP" -name '*.ark' -o -name '*.part'
    """)  # fmt: skip
    said = result.stderr
    assert result.returncode == 0, said
    assert (
        "format_noisy_000 failed: work: error: the disk is full while writing "
        f"{place}/dump/noisy/shards/000.ark; free some space and run the same command again"
    ) in said
    assert "Traceback" not in said
    assert result.stdout == f"{place}/dump/noisy/shards/000.ark\n"


def test_a_read_only_disk_is_said(place):
    result = run(place, 'mount -t tmpfs -o ro none "$DUMP" && stage')
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"format_data: error: {place}/dump/noisy: Read-only file system: "
        "make that place writable, or choose another"
    ]
