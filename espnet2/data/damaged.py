"""Damage that libsndfile does not report: a file of no bytes, a WAV that was not copied whole."""

import io
from typing import BinaryIO

from espnet2.utils.errors import DataError

# A WAV that was written to a pipe states a length that its writer made up: 0xFFFFFFFF (ffmpeg),
# 0x7FFFF000 and the like (sox), 0x80000000 (arecord), or 0.
STREAMED_BYTES = 0x7FFF_0000
HEADER_BYTES = 128  # some writers count the header, or a little more, as audio
MAX_CHUNKS = 64  # before the audio


def refuse_damaged(source: str, file: BinaryIO, to_the_end: bool = True) -> None:
    """Raise DataError for an empty file and, ``to_the_end``, for a WAV that states more audio than
    it holds. Reads a few bytes of the header; ``file`` stands at its beginning afterwards."""
    size = size_of(file)
    if not size:
        raise DataError(f"{source}: empty file")
    audio = wav_audio(file) if to_the_end else None
    file.seek(0)
    if audio is None:
        return
    first, stated = audio
    if size - first + HEADER_BYTES < stated < STREAMED_BYTES:
        raise DataError(
            f"{source}: cut short: {max(size - first, 0)} bytes of audio of the {stated} that its "
            "header states"
        )


def wav_audio(file: BinaryIO) -> tuple[int, int] | None:
    """First byte and stated number of bytes of a WAV's audio; None if it is no plain WAV."""
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    for _ in range(MAX_CHUNKS):
        name_and_size = file.read(8)
        if len(name_and_size) < 8:
            return None
        size = int.from_bytes(name_and_size[4:], "little")
        if name_and_size[:4] == b"data":
            return file.tell(), size
        file.seek(size + size % 2, io.SEEK_CUR)
    return None


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file; it stands at its beginning afterwards."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size
