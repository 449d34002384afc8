"""Speech that is known to the sample: every letter a tone, every space a pause."""

import numpy as np

from espnet2.data.audio import encode_flac
from espnet2.data.index import Index, IndexedUtterance, table_of, write_index
from espnet2.data.shards import write_record

PITCH_HZ = {letter: 250 * 1.31**i for i, letter in enumerate("abcdefgh")}
HELD_SAMPLES = range(1600, 4800, 160)  # 100 to 300 ms
TEXTS = (
    "abc de",
    "fed cab",
    "gab ceh",
    "head bag",
    "cafe had",
    "bead face",
    "hag ebcf",
    "dag fhec",
)


def sing(text, seed, pitch_hz=PITCH_HZ):
    """(samples,) int16 of a text, with a pause at both ends, and [(letter, start_s, end_s)]."""
    rng, parts, spans, sung = np.random.default_rng(seed), [], [], 0
    for letter in f" {text} ":
        samples = int(rng.choice(HELD_SAMPLES))
        time = np.arange(samples) / 16000
        loud = 0.3 if letter != " " else 0.0
        parts.append(loud * np.sin(2 * np.pi * pitch_hz.get(letter, 0) * time))
        if letter != " ":
            spans.append((letter, sung / 16000, (sung + samples) / 16000))
        sung += samples
    noise = 1e-3 * rng.standard_normal(sung)
    return (32767 * (np.concatenate(parts) + noise)).astype(np.int16), spans


def make_sung(dump, clips, name="valid", order=None):
    """``dump/<name>`` of {utt_id: (samples, language)}, rows in ``order``; the opened index."""
    shard = f"{name}_sung/shards/000.ark"
    (dump / shard).parent.mkdir(parents=True)
    rows = []
    with (dump / shard).open("wb") as ark:
        for utt_id in order or sorted(clips):
            samples, language = clips[utt_id]
            record = write_record(ark, utt_id, encode_flac(samples))
            rows.append(
                IndexedUtterance(
                    utt_id=utt_id, recording=utt_id, shard=shard, offset=record.offset,
                    nbytes=record.nbytes, num_samples=len(samples), language=language,
                    corpus="sung", speaker="s", content_hash="0" * 16,
                )
            )  # fmt: skip
    write_index(dump / name / "index.arrow", table_of(rows))
    return Index.open(dump / name)


def choir(language="eng", pitch_hz=PITCH_HZ):
    """{utt_id: (samples, language)} of TEXTS, {utt_id: text} and {utt_id: spans}."""
    clips, texts, truth = {}, {}, {}
    for number, text in enumerate(TEXTS):
        utt_id = f"{language}-{number}"
        samples, truth[utt_id] = sing(text, number, pitch_hz)
        clips[utt_id], texts[utt_id] = (samples, language), text
    return clips, texts, truth


def write_text(path, texts):
    """A Kaldi ``text`` file in C order."""
    path.write_text("".join(f"{utt_id} {texts[utt_id]}\n" for utt_id in sorted(texts)))
    return path


def read_ctm(path):
    """{utt_id: [(token, start_s, end_s)]} in the order of the file."""
    found = {}
    for line in path.read_text().splitlines():
        utt_id, channel, start, duration, token = line.split(" ")
        assert channel == "1"
        end = round(float(start) + float(duration), 2)
        found.setdefault(utt_id, []).append((token, float(start), end))
    return found
