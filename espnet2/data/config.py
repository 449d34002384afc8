"""Sections of the recipe YAML that belong to the data: format, combine, augment, plan."""

import math
from dataclasses import dataclass, field

from espnet2.utils.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class VadConfig:
    """Part ``vad`` of section ``format``: how a long recording is cut into utterances.

    The paper names the tool, py-webrtcvad, and none of its settings; mode apart, those of one
    frame and of the padding are the tool's own example.
    """

    mode: int = 2
    """How sure the detector must be of speech: 0 keeps the most, 3 the least."""

    frame_ms: int = 30
    """Length of what is judged at once: 10, 20 or 30 ms."""

    padding_ms: int = 300
    """Speech begins or ends when a window this long says so; the window stays with the speech."""

    trigger: float = 0.9
    """Share of a window's frames that must agree (more than this) to begin or to end speech."""

    merge_gap_s: float = 0.5
    """Stretches no further apart become one, pause included, if it is no longer than ``max_s``."""

    min_s: float = 1.0
    """Stretches that are still shorter are left out."""

    max_s: float = 40.0
    """Longer stretches are cut at their quietest places; nothing of them is lost."""

    def __post_init__(self) -> None:
        if self.mode not in range(4):
            raise ConfigError(f"format.vad.mode must be 0, 1, 2 or 3, got {self.mode}")
        if self.frame_ms not in (10, 20, 30):
            raise ConfigError(f"format.vad.frame_ms must be 10, 20 or 30, got {self.frame_ms}")
        if self.padding_ms < self.frame_ms:
            raise ConfigError(
                f"format.vad.padding_ms must be at least frame_ms ({self.frame_ms}), "
                f"got {self.padding_ms}"
            )
        if not 0.5 <= self.trigger < 1:
            raise ConfigError(
                f"format.vad.trigger must be at least 0.5 and under 1, got {self.trigger}"
            )
        if not self.merge_gap_s >= 0:
            raise ConfigError(f"format.vad.merge_gap_s must be at least 0, got {self.merge_gap_s}")
        # Pieces of a stretch that is too long are a quarter of max_s or longer: none is lost.
        if not (self.min_s >= 0 and self.max_s >= max(1, 4 * self.min_s)):
            raise ConfigError(
                "format.vad.min_s must be at least 0, and max_s at least 1 and four times min_s, "
                f"got {self.min_s} and {self.max_s}"
            )


@dataclass(frozen=True, kw_only=True)
class FormatConfig:
    """Section ``format`` of the recipe."""

    min_s: float = 0.4
    """Shorter utterances are dropped, in seconds. The paper states no minimum."""

    max_s: float = 40.0
    """Longer utterances are dropped, in seconds; exactly this long stays (XEUS: 40)."""

    min_level_dbfs: float = -70.0
    """Utterances whose root mean square level is lower are dropped as silent."""

    trim_edges: bool = False
    """Cut silence at both ends of an utterance."""

    trim_below_peak_db: float = 40.0
    """20 ms frames this far under the loudest frame count as silence when trimming."""

    trim_keep_s: float = 0.1
    """Seconds of silence kept at each end when trimming."""

    shard_hours: float = 5.0
    """Audio in one shard, in hours (5 h of speech is some 0.35 GB of FLAC)."""

    max_drop_ratio: float = 0.1
    """Fail when a larger share of a corpus's utterances is dropped."""

    allow_pipes: bool = False
    """Run the commands that stand in a ``wav.scp``, without a shell, instead of refusing them."""

    vad_corpora: list[str] = field(default_factory=list)
    """Corpora whose recordings are cut at pauses: those of their utterances that are no segment."""

    vad: VadConfig = field(default_factory=VadConfig)
    """How they are cut."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_s < self.max_s:
            raise ConfigError(
                "format.min_s must be at least 0 and under max_s, "
                f"got {self.min_s} and {self.max_s}"
            )
        if not self.shard_hours > 0:
            raise ConfigError(f"format.shard_hours must be over 0, got {self.shard_hours}")
        if self.vad_corpora and self.vad.max_s > self.max_s:
            raise ConfigError(
                f"format.vad.max_s ({self.vad.max_s}) is longer than format.max_s ({self.max_s}): "
                "what is cut to it would be dropped"
            )


@dataclass(frozen=True, kw_only=True)
class CombineConfig:
    """Section ``combine`` of the recipe."""

    valid_ratio: float = 0.02
    """Share of recordings held out for validation, chosen by a seeded hash of the recording."""

    def __post_init__(self) -> None:
        if not 0 <= self.valid_ratio < 1:
            raise ConfigError(
                f"combine.valid_ratio must be at least 0 and under 1, got {self.valid_ratio}"
            )


@dataclass(frozen=True, kw_only=True)
class BankConfig:
    """Section ``augment`` of the recipe: the banks of noise and of room impulse responses."""

    num_coloured: int = 40
    """Generated noises, from white to brown."""

    num_babble: int = 40
    """Noises made of several utterances of the training set at once."""

    babble_voices: int = 6
    """Utterances in one babble noise."""

    noise_s: float = 10.0
    """Length of a generated noise, in seconds; longer recorded ones are cut to pieces of it."""

    noise_dirs: list[str] = field(default_factory=list)
    """Folders of recorded noise: MUSAN, DNS Challenge, OpenSLR-28, or any audio. An hour takes
    0.23 GB of the bank."""

    musan_parts: list[str] = field(default_factory=lambda: ["noise", "music"])
    """Which of MUSAN's folders (music, noise, speech) count as noise."""

    rir_dirs: list[str] = field(default_factory=list)
    """Folders of impulse responses: OpenSLR-28, DNS Challenge, or any audio; without one, rooms
    are simulated."""

    num_rirs: int = 200
    """Rooms to simulate, where ``rir_dirs`` is empty."""

    rir_s: float = 1.0
    """Longest impulse response after its direct path, in seconds; where 60 dB of the energy is
    gone it ends anyway."""

    room_m: tuple[float, float] = (3.0, 10.0)
    """Shortest and longest side of a room's floor, in metres."""

    height_m: tuple[float, float] = (2.4, 4.0)
    """Lowest and highest ceiling, in metres."""

    t60_s: tuple[float, float] = (0.15, 0.6)
    """Shortest and longest reverberation time, in seconds; 0.6 s in a small room takes half a
    second to simulate, and the work grows with the third power."""

    def __post_init__(self) -> None:
        if unknown := set(self.musan_parts) - {"music", "noise", "speech"}:
            raise ConfigError(
                f"augment.musan_parts must be of music, noise, speech; got {sorted(unknown)[0]!r}"
            )
        for name in ("noise_s", "rir_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"augment.{name} must be positive, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Section ``plan`` of the recipe: which utterances share a batch."""

    batch_bins: int = 1_600_000
    """Samples of one global batch, never exceeded (ESPnet's key)."""

    batch_multiple: int = 1
    """Utterances in a batch are a multiple of it: ranks times accumulation steps."""

    num_buckets: int = 48
    """Distinct crop lengths, chosen so that cropping loses the least audio: 2.8 % of utterances
    around 8 s of which two thirds last 4 to 15 s. Half as many lose twice as much."""

    bucket_s: list[float] = field(default_factory=list)
    """Crop lengths in seconds, instead of choosing them; empty: choose ``num_buckets``."""

    max_crop_s: float = 40.0
    """Longest crop length to choose, in seconds."""

    pack_s: float | None = None
    """Lay the utterances of a language end to end and cut them into pieces of so many seconds,
    instead of cropping them: short utterances get context, and all batches one shape."""

    language_temperature: float = 1.0
    """Languages are drawn in proportion to hours ** temperature; 1 keeps the corpus as it is."""

    corpus_temperature: float = 1.0
    """The same for the corpora of one language."""

    max_repeats: float = 8.0
    """Most times an utterance may appear in one pass."""

    locality: int = 1
    """Consecutive entries of a bucket that stay together in a pass: fewer places to read from, but
    neighbours (one recording, one speaker) share a batch; ``data/plan/plan.py`` weighs the two."""

    hours_per_gpu_hour: float | None = None
    """Hours of audio that one GPU trains on in an hour, measured or stated: prints GPU-hours."""

    def __post_init__(self) -> None:
        least = {"batch_bins": 1, "batch_multiple": 1, "num_buckets": 1, "max_crop_s": 0.04,
                 "language_temperature": 0, "corpus_temperature": 0, "max_repeats": 1,
                 "locality": 1}  # fmt: skip
        for name, bound in least.items():
            value = getattr(self, name)
            if not bound <= value < math.inf:
                raise ConfigError(f"plan.{name} must be a number from {bound} on, got {value}")
        for name in ("pack_s", "hours_per_gpu_hour"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"plan.{name} must be a number above 0, or null; got {value}")
        if not all(0.04 <= length < math.inf for length in self.bucket_s):
            raise ConfigError(
                f"plan.bucket_s must hold lengths from 0.04 s on, got {self.bucket_s}"
            )
        if self.pack_s is not None and self.locality > 1:
            raise ConfigError(
                "plan: pack_s lays utterances in random order, so locality cannot keep neighbours "
                "together; leave one of them out"
            )
