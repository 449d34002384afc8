"""The corpora of the mini recipe: one function prepares one of them.

Steps of a recorded corpus: read, measure, remove copies, drop unusable transcripts, split, write.
The synthetic corpus is split before it is spoken. See ``egs2/mini/README.md`` for what they are.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from espnet2.data.corpora import asterisk, fillets, synthetic, tuxpaint
from espnet2.data.corpora.clips import (
    Clip,
    Dropped,
    count_reasons,
    keep_transcribed,
    measure,
    minutes,
    remove_copies,
)
from espnet2.data.corpora.config import DataConfig, MiniCorpus
from espnet2.data.corpora.splits import Splits, link_groups, split_clips, splitter, take
from espnet2.data.corpora.superb_tree import (
    new_folder,
    summary,
    write_kaldi_folder,
    write_tree,
)
from espnet2.data.kaldi import write_table
from espnet2.utils.files import write_json, write_text
from espnet2.utils.logs import log


@dataclass(frozen=True, kw_only=True)
class Job:
    """Where one corpus comes from, where it goes, and how."""

    corpus: str
    spec: MiniCorpus
    packages: dict[str, Path]  # Debian package -> folder of its files
    audio: Path  # for audio that is made here
    data: Path  # Kaldi directories
    root: Path  # ML-SUPERB tree
    config: DataConfig
    seed: int


def prepare(job: Job) -> dict[str, object]:
    """Write one corpus; returns its counts and minutes."""
    return READERS[job.spec.kind](job)


def prepare_tuxpaint(job: Job) -> dict[str, object]:
    """Read phrases in nine languages."""
    package = job.packages[tuxpaint.PACKAGE]
    phrases = tuxpaint.read_phrases(package)
    clips, dropped = tuxpaint.read_clips(package, job.spec.codes, phrases)
    return prepare_recorded(job, clips, dropped, link_groups(tuxpaint.sentences(phrases)))


def prepare_fillets(job: Job) -> dict[str, object]:
    """Acted dialogues in Czech and Dutch."""
    texts, *sounds = job.spec.packages
    recordings = {name.rpartition("-")[2]: job.packages[name] for name in sounds}
    read = fillets.read_clips(job.packages[texts], recordings, job.spec.codes)
    clips, dropped, sentences = read
    return prepare_recorded(job, clips, dropped, link_groups(sentences))


def prepare_recorded(
    job: Job, clips: list[Clip], dropped: list[Dropped], linked: dict[str, str]
) -> dict[str, object]:
    """Everything after reading, for recordings with transcripts."""
    config, read = job.config, len(clips) + len(dropped)
    clips, unusable = measure(clips)
    minutes_in, by_step = minutes(clips), {"read": minutes_by_language(clips)}
    clips, copies = remove_copies(clips)
    by_step["without_copies"] = minutes_by_language(clips)
    clips, texts = keep_transcribed(clips, (config.min_chars_per_s, config.max_chars_per_s))
    by_step["transcribed"] = minutes_by_language(clips)
    split_of = splitter(linked, config, job.seed, job.spec.held_out_scale)
    splits = split_clips(clips, lambda clip: split_of(clip.group), config, job.seed)
    dropped = [*dropped, *unusable, *copies, *texts, *splits.dropped]
    write_tree(job.root, job.corpus, splits)
    return finish(job, read, minutes_in, splits, dropped) | {"minutes_by_step": by_step}


def prepare_asterisk(job: Job) -> dict[str, object]:
    """Telephone prompts without transcripts: pre-training audio only."""
    clips, dropped = [], []
    for language, code in job.spec.codes.items():
        package = job.packages[f"asterisk-core-sounds-{code}-wav"]
        for whole, part in zip(
            (clips, dropped), asterisk.read_clips(package, language), strict=True
        ):
            whole += part
    read = len(clips) + len(dropped)
    clips, unusable = measure(clips)
    minutes_in = minutes(clips)
    clips, copies = remove_copies(clips)
    kept = []
    for language in job.spec.codes:
        own = [clip for clip in clips if clip.language == language]
        kept += take(own, job.config.ssl_minutes_per_language)
    ids = {clip.utt_id for clip in kept}
    over = [
        Dropped(utt_id=c.utt_id, reason="over_ssl_minutes", detail=f"{c.duration_s:.2f} s")
        for c in clips
        if c.utt_id not in ids
    ]
    splits = Splits(pretrain=kept, train=[], dev=[], test=[], dropped=[])
    return finish(job, read, minutes_in, splits, [*dropped, *unusable, *copies, *over])


def prepare_espeak(job: Job) -> dict[str, object]:
    """Synthetic voices; sentences from Tux Paint's texts where they are, else numbers."""
    texts = job.packages.get(tuxpaint.PACKAGE)
    phrases = tuxpaint.read_phrases(texts) if texts else {}
    split_of = splitter(link_groups(tuxpaint.sentences(phrases)), job.config, job.seed)
    voiced, clips, splits_by_id = job.config.synthetic, [], {}
    with new_folder(job.audio) as audio:
        for language, code in job.spec.codes.items():
            sentences = synthetic.sentences_of(phrases, code, voiced, job.seed)
            planned = synthetic.plan_lines(
                job.corpus, language, code, sentences, split_of, voiced, job.seed
            )
            synthetic.speak([line for line, _, _ in planned], audio / language)
            for line, sentence, split in planned:
                splits_by_id[line.utt_id] = split
                clips.append(synthetic.clip_of(line, sentence, language, job.audio / language))
    measured, unusable = measure(clips)
    config = replace(job.config, dev_minutes=None, test_minutes=None)  # counted, not timed
    splits = split_clips(
        measured, lambda clip: splits_by_id[clip.utt_id], config, job.seed, voiced.train_minutes
    )
    write_tree(job.root, job.corpus, splits)
    result = finish(job, len(clips), minutes(measured), splits, [*unusable, *splits.dropped])
    write_phones(job, splits.pretrain)
    return result


def write_phones(job: Job, clips: list[Clip]) -> None:
    """``data/<corpus>/phones.ctm``: which phone is said when in the clips, by the synthesizer.

    Times are those of the files. Stage 2 with ``trim_edges`` takes silence off their ends, and off
    the beginning nothing, or rarely 20 ms.
    """
    ids = {clip.utt_id for clip in clips}
    found = []
    for path in job.audio.glob(f"*/{synthetic.PHONES}"):
        with path.open(encoding="utf-8") as lines:
            found += [line for line in lines if line.partition(" ")[0] in ids]
    found.sort(key=lambda line: line.partition(" ")[0])  # those of one utterance stay in order
    write_text(job.data / job.corpus / synthetic.PHONES, "".join(found))


def prepare_noise(job: Job) -> dict[str, object]:
    """Recorded sound without speech, for the noise bank: ``data/noise/wav.scp``."""
    files = [path for name in job.spec.packages for path in fillets.noise_files(job.packages[name])]
    with new_folder(job.data / job.corpus) as part:
        table = {f"{path.parent.name}_{path.stem}": str(path) for path in files}
        write_table(part / "wav.scp", table)
    log(f"{job.corpus}: {len(files)} files of music and effects")
    return {"corpus": job.corpus, "files": len(files)}


def finish(
    job: Job, read: int, minutes_in: float, splits: Splits, dropped: list[Dropped]
) -> dict[str, object]:
    """Write the Kaldi directory and say what became of the corpus."""
    write_kaldi_folder(job.data, job.corpus, splits.pretrain, dropped)
    about = {"kind": job.spec.kind, "licence": job.spec.licence}
    write_json(job.data / job.corpus / "corpus.json", about)
    result = summary(job.corpus, read, minutes_in, splits) | {"dropped": count_reasons(dropped)}
    lists = ", ".join(f"{name} {n} utts / {m:.1f} min" for name, (n, m) in result["lists"].items())
    reasons = ", ".join(f"{reason} {count}" for reason, count in result["dropped"].items())
    log(
        f"{job.corpus}: in: {read} utts / {minutes_in / 60:.2f} h -> out: {lists}; "
        f"dropped: {reasons or 'nothing'}"
    )
    return result


def minutes_by_language(clips: list[Clip]) -> dict[str, float]:
    """Minutes of each language."""
    languages = sorted({clip.language for clip in clips})
    return {x: round(minutes(c for c in clips if c.language == x), 2) for x in languages}


READERS = {
    "tuxpaint": prepare_tuxpaint,
    "fillets": prepare_fillets,
    "asterisk": prepare_asterisk,
    "espeak": prepare_espeak,
    "noise": prepare_noise,
}
