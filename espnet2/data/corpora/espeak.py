"""Speak a list of sentences with eSpeak NG: ``python -m espnet2.data.corpora.espeak JOB.json``.

A process of its own a language: the synthesizer keeps state between utterances, so only a fresh
process that speaks in a fixed order, reseeded before each utterance, gives the same bytes again.
It also keeps the GPL library out of every other process. Mode 2 (synchronous) is the one that
works: in mode 1 the library runs a thread of its own, is five times slower, and may hang.

Which phone is said when, as the library itself reports it, becomes a CTM.
"""

import ctypes
import sys
import wave
from itertools import pairwise
from pathlib import Path

import espeakng_loader

from espnet2.utils.cli import run_main
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json, write_text

SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT
UTF8 = 1  # espeakCHARS_UTF8
RATE, PITCH = 1, 3  # espeak_PARAMETER
POSITION_CHARACTER = 1
PHONEME_EVENTS, IN_IPA = 1, 2  # espeakINITIALIZE_...
LAST_EVENT, PHONE = 0, 7  # espeak_EVENT_TYPE
STRESS = str.maketrans("", "", "ˈˌ")  # a stressed vowel is the same phone
SILENCE = "sil"


class Event(ctypes.Structure):
    """The library's espeak_EVENT; its union taken for what it is in a phone's event."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("type", "id", "text", "length", "ms", "sample")),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event)
)


class Synthesizer:
    """The library in this process; ``rate_hz`` is the rate of what it says."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        options = PHONEME_EVENTS | IN_IPA
        self.rate_hz = self.library.espeak_Initialize(SYNCHRONOUS, 0, data, options)
        if self.rate_hz <= 0:
            raise DataError(f"eSpeak NG does not start with the data in {data.decode()}")
        self.said: list[bytes] = []
        self.phones: list[tuple[str, int]] = []  # of the last utterance: phone, first sample
        self.callback = CALLBACK(self.collect)  # kept: the library holds only its address
        self.library.espeak_SetSynthCallback(self.callback)

    def collect(self, samples, count: int, events) -> int:
        """Called by the library with 16-bit samples and what begins in them; 0 asks for more."""
        if samples and count > 0:
            self.said.append(ctypes.string_at(samples, 2 * count))
        while events[0].type != LAST_EVENT:
            if events[0].type == PHONE:
                self.phones.append((phone_of(events[0].name), events[0].sample))
            events = ctypes.pointer(events[1])
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
        self.phones.clear()
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


def phone_of(name: bytes) -> str:
    """The phone of an event: without stress, cut by the library after 8 bytes.

    A pause has no name, and where the voice speaks a foreign word "(en)" is one.
    """
    phone = name.decode(errors="ignore").translate(STRESS)
    return SILENCE if not phone.strip() or phone.startswith("(") else phone


def ctm_lines(utt_id: str, phones: list[tuple[str, int]], count: int, rate_hz: int) -> list[str]:
    """``utt 1 start duration phone`` of phones with their first samples, of ``count`` in all."""
    return [
        f"{utt_id} 1 {first / rate_hz:.4f} {(last - first) / rate_hz:.4f} {phone}\n"
        for (phone, first), (_, last) in pairwise([*phones, ("", count)])
        if last > first
    ]


def main() -> None:
    """Speak every line of the job into its folder, one WAV an utterance, and write the phones."""
    job = read_json(Path(sys.argv[1]))
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    synthesizer, ctm = Synthesizer(), []
    for line in job["lines"]:
        samples = synthesizer.speak(
            line["text"], line["voice"], line["rate_wpm"], line["pitch"], line["seed"]
        )
        rate_hz, count = synthesizer.rate_hz, len(samples) // 2
        write_wav(folder / f"{line['utt_id']}.wav", samples, rate_hz)
        ctm += ctm_lines(line["utt_id"], synthesizer.phones, count, rate_hz)
    write_text(Path(job["phones"]), "".join(ctm))


if __name__ == "__main__":
    run_main(main)
