"""How fast a folder is written and read, measured with a temporary file."""

import contextlib
import mmap
import os
import random
import tempfile
import time
from pathlib import Path

from espnet2.utils.doctor.finding import Finding, judged

BLOCK_BYTES = 2**20
READ_BYTES = 128 * 2**10  # of an utterance: 4 s of 16 kHz FLAC
READS = 200
SLOW_WRITE, SLOW_READ = 50.0, 50.0  # MB/s
SLOW_RANDOM_MS = 20.0  # a read: 8 loader workers then bring some 400 utterances a second


def disk_findings(folder: Path, megabytes: int = 256, seed: int = 1) -> list[Finding]:
    """Write so much, make it durable, read it in order and in small pieces anywhere; remove it.

    ``seed`` decides the places of the small reads.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".xeus_doctor_", dir=folder)
    except OSError as error:
        found = f"{folder} cannot be written ({error.strerror})"
        advice = "change its permissions, or choose another folder with --dir"
        return [judged("disk speed", found, fail=advice)]
    path = Path(name)
    try:
        write_s = time_write(descriptor, megabytes)
        forget(descriptor)
        read_s, is_direct = time_read(path)
        forget(descriptor)
        random_ms = 1000 * time_random(descriptor, megabytes * BLOCK_BYTES, seed) / READS
    except OSError as error:
        found = f"{folder} failed while it was measured ({error.strerror})"
        advice = "free some space, or choose another folder with --dir"
        return [judged("disk speed", found, fail=advice)]
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)
    return list(verdicts(megabytes / write_s, megabytes / read_s, random_ms, is_direct))


def verdicts(
    write: float, read: float, random_ms: float, is_direct: bool = True
) -> tuple[Finding, Finding, Finding]:
    """What speeds (MB/s, and ms a small read) mean for a recipe."""
    local = "use a local disk for dump/, or copy it there before training"
    order = "in order" if is_direct else "in order, maybe from memory: no direct reads here"
    return (
        judged("disk write", f"{write:.0f} MB/s with fsync",
               warn="" if write >= SLOW_WRITE else f"checkpoints and shards will wait; {local}"),
        judged("disk read", f"{read:.0f} MB/s {order}",
               warn="" if read >= SLOW_READ else f"labelling and training will wait; {local}"),
        judged("disk seek", f"{random_ms:.2f} ms for {READ_BYTES // 1024} KiB anywhere",
               warn="" if random_ms <= SLOW_RANDOM_MS else f"loader workers will wait; {local}"),
    )  # fmt: skip


def time_write(descriptor: int, megabytes: int) -> float:
    """Seconds to write and sync so many blocks that do not compress."""
    block, begun = random.Random(0).randbytes(BLOCK_BYTES), time.perf_counter()
    for _ in range(megabytes):
        view = memoryview(block)
        while view:
            view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)
    return time.perf_counter() - begun


def time_read(path: Path) -> tuple[float, bool]:
    """Seconds to read the file once, and whether that went past the page cache.

    Some file systems (an older tmpfs, overlays, network disks) refuse direct reads, when the file
    is opened or when it is read.
    """
    try:
        return time_read_with(path, os.O_DIRECT), True
    except OSError:
        return time_read_with(path, 0), False


def time_read_with(path: Path, flags: int) -> float:
    """Seconds to read the file once, opened with these flags."""
    begun = time.perf_counter()
    descriptor = os.open(path, os.O_RDONLY | flags)
    with contextlib.closing(mmap.mmap(-1, 8 * BLOCK_BYTES)) as buffer:
        try:
            while os.readv(descriptor, [buffer]) > 0:
                pass
        finally:
            os.close(descriptor)
    return time.perf_counter() - begun


def time_random(descriptor: int, size: int, seed: int) -> float:
    """Seconds of ``READS`` small reads at drawn places."""
    draw = random.Random(seed)
    places = [draw.randrange(max(size - READ_BYTES, 1)) for _ in range(READS)]
    begun = time.perf_counter()
    for place in places:
        os.pread(descriptor, READ_BYTES, place)
    return time.perf_counter() - begun


def forget(descriptor: int) -> None:
    """Ask the kernel to drop its copy of the file, so that reads come from the disk."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
