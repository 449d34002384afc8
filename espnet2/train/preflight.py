"""What stage 11 would refuse, found before stage 10 or an earlier one begins. No torch in here."""

from pathlib import Path

from espnet2.asr.config import EncoderSpec
from espnet2.asr.encoder_files import encoder_files
from espnet2.data.kaldi.tables import entries
from espnet2.data.superb import PRIVATE_CODES, find_languages
from espnet2.data.superb_kaldi import corpus_names, split_folders
from espnet2.train.cells import FinetuneConfig
from espnet2.train.feature_units import export_of
from espnet2.utils.config import guess
from espnet2.utils.errors import ConfigError


def refuse_encoders(config: FinetuneConfig, export: Path | None, is_exported_later: bool) -> None:
    """Refuse encoders whose files are not there.

    ``is_exported_later``: stage 9 makes what ``--export`` names by default.

    Raises:
        ConfigError: names the encoder and what is missing.
    """
    for name, spec in config.used_encoders.items():
        if is_ours(spec) and spec.path is None and is_exported_later:
            continue
        folder = export_of(name, spec, export)
        try:
            encoder_files(spec, folder)
        except ConfigError as error:
            raise ConfigError(f"encoder {name}: {error}") from None


def is_ours(spec: EncoderSpec) -> bool:
    """Whether it is made from an export folder."""
    return spec.kind in ("export", "random")


def refuse_monolingual(config: FinetuneConfig, root: Path) -> None:
    """Refuse configurations of ``monolingual`` that the data at ``root`` does not have.

    Of ML-SUPERB 2.0 the languages stand inside its files: stage 11 refuses them.

    Raises:
        ConfigError: names those that are not there, the first with a guess.
        DataError: the root does not hold such data.
    """
    if "mono" not in config.tasks or config.data.kind == "ml_superb2":
        return
    there = (
        tree_places(config, root) if config.data.kind == "ml_superb" else kaldi_places(config, root)
    )
    lacking = [name for name in config.monolingual if name not in there]
    if lacking:
        raise ConfigError(
            f"finetune.monolingual: {root} has no {', '.join(lacking)}"
            f"{guess(lacking[0], there)}; give the whole tree{or_the_rest(config, there)}"
        )


def or_the_rest(config: FinetuneConfig, there: set[str]) -> str:
    """The setting that runs what the data has; nothing where that is nothing."""
    kept = [name for name in config.monolingual if name in there]
    others = [task for task in config.tasks if task != "mono"]
    if not kept and not others:
        return ""
    setting = f"monolingual=[{','.join(kept)}]" if kept else f"tasks=[{','.join(others)}]"
    return f", or run the rest: --set finetune.{setting}"


def tree_places(config: FinetuneConfig, root: Path) -> set[str]:
    """``eng/mls`` of every language and corpus of a tree."""
    found = find_languages(root, config.data.corpora, config.data.languages)
    return {
        f"{PRIVATE_CODES.get(language, language)}/{corpus}"
        for language, corpora in found.items()
        for corpus in corpora
    }


def kaldi_places(config: FinetuneConfig, root: Path) -> set[str]:
    """``eng/mls`` of every utterance of the training directory."""
    folder = split_folders(root, config.data)["train"]
    corpora, default = corpus_names(folder), root.resolve().name
    return {
        f"{entry.value}/{corpora.get(entry.key, default)}" for entry in entries(folder / "utt2lang")
    }
