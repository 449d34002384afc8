"""Speak a list of sentences with eSpeak NG: ``python -m espnet2.data.corpora.espeak JOB.json``.

A process of its own a language: the synthesizer keeps state between utterances, so only a fresh
process that speaks in a fixed order, reseeded before each utterance, gives the same bytes again.
It also keeps the GPL library out of every other process. Mode 2 (synchronous) is the one that
works: in mode 1 the library runs a thread of its own, is five times slower, and may hang.
"""

import ctypes
import sys
import wave
from pathlib import Path

import espeakng_loader

from espnet2.utils.cli import run_main
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json

SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT
UTF8 = 1  # espeakCHARS_UTF8
RATE, PITCH = 1, 3  # espeak_PARAMETER
POSITION_CHARACTER = 1
CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Synthesizer:
    """The library in this process; ``rate_hz`` is the rate of what it says."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.rate_hz = self.library.espeak_Initialize(SYNCHRONOUS, 0, data, 0)
        if self.rate_hz <= 0:
            raise DataError(f"eSpeak NG does not start with the data in {data.decode()}")
        self.said: list[bytes] = []
        self.callback = CALLBACK(self.collect)  # kept: the library holds only its address
        self.library.espeak_SetSynthCallback(self.callback)

    def collect(self, samples, count: int, _events) -> int:
        """Called by the library with 16-bit samples; 0 asks for more."""
        if samples and count > 0:
            self.said.append(ctypes.string_at(samples, 2 * count))
        return 0

    def speak(self, text: str, voice: str, rate_wpm: int, pitch: int, seed: int) -> bytes:
        """16-bit mono samples of ``text``; ``voice`` is ``language+variant``.

        Raises:
            DataError: no such language or variant. The library itself takes its default then.
        """
        variant = voice.partition("+")[2]
        variants = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
        if variant and not (variants / variant).is_file():
            raise DataError(f"eSpeak NG has no voice variant {variant} in {variants}")
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise DataError(f"eSpeak NG has no voice {voice}")
        self.library.espeak_SetParameter(RATE, rate_wpm, 0)
        self.library.espeak_SetParameter(PITCH, pitch, 0)
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        self.said.clear()
        data = text.encode("utf-8") + b"\0"
        status = self.library.espeak_Synth(
            data, ctypes.c_size_t(len(data)), 0, POSITION_CHARACTER, 0, UTF8, None, None
        )
        if status != 0:
            raise DataError(f"eSpeak NG cannot say {text!r} as {voice} (status {status})")
        return b"".join(self.said)


def write_wav(path: Path, samples: bytes, rate_hz: int) -> None:
    """16-bit mono WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples)


def main() -> None:
    """Speak every line of the job into its folder: one WAV an utterance."""
    job = read_json(Path(sys.argv[1]))
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    synthesizer = Synthesizer()
    for line in job["lines"]:
        samples = synthesizer.speak(
            line["text"], line["voice"], line["rate_wpm"], line["pitch"], line["seed"]
        )
        write_wav(folder / f"{line['utt_id']}.wav", samples, synthesizer.rate_hz)


if __name__ == "__main__":
    run_main(main)
