"""Which utterances of a split belong to a task. No torch in here."""

from espnet2.asr.config import mono_parts, task_kind


def is_member(task: str, split: str, language: str, corpus: str, corpora: list[str]) -> bool:
    """Whether an utterance of a split belongs to a task; no corpora named: those of all.

    A monolingual cell trains and validates on one corpus of its language and is tested on all of
    the language's: on any split but train and dev (arXiv 2305.10615).
    """
    if task_kind(task) != "mono":
        return not corpora or corpus in corpora
    own_language, own_corpus = mono_parts(task)
    return language == own_language and (split not in ("train", "dev") or corpus == own_corpus)
