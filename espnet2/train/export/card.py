"""The model card: what is known of the run, and the words "not stated" where something is not."""

import re
from typing import Any

import yaml

from espnet2.data.languages import language_name
from espnet2.train.export.facts import Facts
from espnet2.train.export.hub_languages import hub_codes
from espnet2.utils.words import counted

PAPER = "https://arxiv.org/abs/2407.00837"
NOT_STATED = "not stated"
TAGS = ["e-branchformer", "espnet", "self-supervised-learning", "speech", "xeus"]
CITATION = """@article{chen2024xeus,
  title   = {Towards Robust Speech Representation Learning for Thousands of Languages},
  author  = {William Chen and Wangyou Zhang and Yifan Peng and Xinjian Li and Jinchuan Tian and
             Jiatong Shi and Xuankai Chang and Soumi Maiti and Karen Livescu and Shinji Watanabe},
  journal = {arXiv preprint arXiv:2407.00837},
  year    = {2024}
}"""
USE = """from espnet2.tasks.ssl import SSLTask

model, config = SSLTask.build_model_from_file(None, "{name}")  # the folder of this card
layers = model.encode(speech, lengths, use_mask=False, use_final_output=False)[0]
# speech: (batch, samples) fp32 at 16 kHz, lengths: (batch,); layers[-1]: (batch, frames, width)"""
USE_TRANSFORMERS = """import espnet2.hf  # registers XEUS with transformers
from transformers import AutoModel

model = AutoModel.from_pretrained("{name}")
layers = model(speech, output_hidden_states=True).hidden_states  # input, then every block"""


def model_card(facts: Facts) -> str:
    """README.md of the Hugging Face folder."""
    parts = [
        f"---\n{yaml.safe_dump(front_matter(facts), allow_unicode=True, sort_keys=True)}---",
        f"# {facts.name}",
        introduction(facts),
        "## Use",
        f"With the package `espnet2` of the XEUS recipe:\n\n```python\n{use(facts)}\n```",
        f"Or in transformers:\n\n```python\n{USE_TRANSFORMERS.format(name=facts.name)}\n```",
        "## Training data",
        *data_section(facts),
        "## Training",
        bullets(training_rows(facts)),
        "## Validation",
        *validation_section(facts),
        "## Limits",
        bullets(limits(facts)),
        "## Made by",
        f"```bash\n{facts.command or NOT_STATED}\n```",
        "## Citation",
        f"The model and its training are those of [XEUS]({PAPER}):\n\n```bibtex\n{CITATION}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(facts: Facts) -> dict[str, Any]:
    """The YAML that Hugging Face reads."""
    matter = {
        # The task, as of other encoders of speech. Of library transformers the Hub would show its
        # pipeline of that name, which wants text; of espnet it shows no code for this task.
        "library_name": "espnet",
        "license": facts.settings.licence,
        "pipeline_tag": "feature-extraction",
        "tags": TAGS,
    }
    if codes := hub_codes(facts.hours["languages"] if facts.hours else ()):
        matter["language"] = codes
    corpora = facts.hours["corpora"] if facts.hours else ()
    sources = {facts.corpora.get(name, {}).get("source", "") for name in corpora}
    if ids := sorted(source for source in sources if is_hub_id(source)):
        matter["datasets"] = ids
    return matter


def is_hub_id(source: str) -> bool:
    """Whether a corpus's source is ``owner/name`` of a Hugging Face data set, not an address."""
    return re.fullmatch(r"[\w-]+/[\w.-]+", source) is not None


def introduction(facts: Facts) -> str:
    """What it is."""
    encoder, frontend = (facts.trained.get(key) or {} for key in ("encoder_conf", "frontend_conf"))
    blocks, width = encoder.get("num_blocks"), encoder.get("output_size")
    shape = f": {counted(blocks, 'E-Branchformer block')}, {width} wide" if blocks and width else ""
    own = " The waveform is normalised inside the model." if frontend.get("normalize_audio") else ""
    return (
        f"A speech encoder of {facts.parameters:,} parameters, the heads of its pre-training "
        f"included{shape}. It turns 16 kHz speech into "
        f"50 vectors a second.{own} It was pre-trained with masked prediction of pseudo-labels, "
        f"by the recipe of [XEUS]({PAPER})."
    )


def use(facts: Facts) -> str:
    """The lines that load it."""
    return USE.format(name=facts.name)


def data_section(facts: Facts) -> list[str]:
    """Totals, a table of the corpora and one of the languages."""
    if facts.hours is None:
        missing = "the index that it was trained on was not there at the export."
        return [f"{NOT_STATED.capitalize()}: {missing}"]
    total, corpora, languages = (facts.hours[key] for key in ("total", "corpora", "languages"))
    rows = [
        (
            name, *cells(count), facts.corpora.get(name, {}).get("licence") or NOT_STATED,
            facts.corpora.get(name, {}).get("source") or NOT_STATED,
        )
        for name, count in by_hours(corpora)
    ]  # fmt: skip
    named = [(name, language_name(name), *cells(count)) for name, count in by_hours(languages)]
    return [
        f"{hours(total)} hours, {total['utterances']:,} utterances, "
        f"{counted(len(corpora), 'corpus', 'corpora')}, {counted(len(languages), 'language')}. "
        "Licences are those that the recipe states.",
        table(("corpus", "hours", "utterances", "licence", "source"), rows),
        "<details><summary>Hours by language (ISO 639-3)</summary>",
        table(("code", "language", "hours", "utterances"), named),
        "</details>",
    ]


def by_hours(counts: dict[str, dict[str, float]]) -> list[tuple[str, dict[str, float]]]:
    """Names and counts, most hours first."""
    return sorted(counts.items(), key=lambda pair: (-pair[1]["hours"], pair[0]))


def cells(count: dict[str, float]) -> tuple[str, str]:
    """Hours and utterances as text."""
    return hours(count), f"{count['utterances']:,}"


def hours(count: dict[str, float]) -> str:
    """Hours as text, less than six minutes more finely."""
    return f"{count['hours']:,.{2 if count['hours'] >= 0.1 else 4}f}"


def training_rows(facts: Facts) -> list[str]:
    """How it was trained: only what the run's files say."""
    trained, provenance = facts.trained, facts.provenance
    labels, optim = trained.get("labels") or {}, trained.get("optim_conf") or {}
    step = steps_made(facts)
    rows = [
        step and f"steps: {step:,} of {trained.get('max_steps', step):,}{passes(facts, step)}",
        f"exported: mean of the weights after the steps {listing(facts.steps)}"
        if len(facts.steps) > 1
        else f"exported: the weights after step {facts.steps[0]:,}",
        trained.get("ema_decay") is not None
        and f"weights: running mean over the steps, decay {trained['ema_decay']:g}",
        facts.seconds_a_step and f"audio in a step: at most {facts.seconds_a_step:,.1f} s",
        labels
        and f"pseudo-labels: {labels['num_clusters']} clusters of layer {labels['layer']} "
        f"of {labels['teacher']}",
        optim
        and f"optimiser: {trained.get('optim')}, {learning_rate(trained)} {optim['lr']:g}, "
        f"schedule {trained.get('scheduler') or 'constant'}",
        augmentation(trained.get("phases") or []),
        trained.get("train_dtype") and f"arithmetic: {trained['train_dtype']}",
        f"hardware: {hardware(facts)}",
        provenance.get("time") and f"finished: {provenance['time']}",
        provenance and f"software: {', '.join(versions(provenance))}",
    ]
    return [row for row in rows if row]


def steps_made(facts: Facts) -> int | None:
    """Steps of the run. A run that was prolonged may have gone on since its summary was written."""
    step = facts.summary.get("step")
    return step and max(step, *facts.steps)


def learning_rate(trained: dict[str, Any]) -> str:
    """What ``optim_conf.lr`` is to the schedule."""
    return "learning rate factor" if trained.get("scheduler") == "noamlr" else "peak learning rate"


def augmentation(phases: list[dict[str, Any]]) -> str:
    """What was added to the audio, in the phase with most of it."""
    noise, rooms = (
        max((phase.get(key, 0) for phase in phases), default=0)
        for key in ("noise_prob", "rir_prob")
    )
    added = [f"noise or another voice in {noise:.0%}"] if noise else []
    added += [f"reverberation of {rooms:.0%}"] if rooms else []
    return f"augmentation: {' and '.join(added)} of the utterances at most" if added else ""


def passes(facts: Facts, step: int) -> str:
    """How often the training set was seen."""
    return f", {step / facts.steps_a_pass:.1f} passes over the data" if facts.steps_a_pass else ""


def listing(steps: list[int]) -> str:
    """1, 2 and 3."""
    texts = [f"{step:,}" for step in steps]
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def hardware(facts: Facts) -> str:
    """GPU, processor and the number of processes, as far as they are known."""
    count = facts.summary.get("ranks")
    known = [facts.provenance.get(key) for key in ("gpu", "hardware")]
    known.append(counted(count, "process", "processes") if count else None)
    return "; ".join(filter(None, known)) or NOT_STATED


def versions(provenance: dict[str, str]) -> list[str]:
    """Commit, Python and torch, where they are known."""
    names = {"commit": "commit", "python": "Python", "torch": "torch"}
    return [f"{name} {provenance[key]}" for key, name in names.items() if key in provenance]


def validation_section(facts: Facts) -> list[str]:
    """The last validation, of the weights before averaging."""
    row = facts.summary.get("valid") or {}
    shown = {
        "loss": "loss of training (all its terms, a masked frame)",
        "masked_loss": "cross-entropy on masked frames",
        "masked_acc": "accuracy on masked frames",
        "unmasked_acc": "accuracy on visible frames",
        "majority_share": "accuracy of always the most frequent label",
    }
    rows = [(text, f"{row[key]:.4f}") for key, text in shown.items() if row.get(key) is not None]
    if not rows:
        return [f"{NOT_STATED.capitalize()}: the run has no row of validation."]
    return [
        f"Of the weights after step {row['step']:,}, before averaging, on recordings that were "
        "held out of the training set; accuracy is that of the pseudo-labels.",
        table(("measure", "value"), rows),
    ]


def limits(facts: Facts) -> list[str]:
    """What the numbers above do not say."""
    rows = [
        "It gives features, not text: recognition needs a model trained on top.",
        "How well it predicts pseudo-labels does not say how well features serve a task; what "
        "was not measured above is not known.",
        "Whoever uses the weights has to respect the corpora's terms; "
        f"those of the weights themselves are {licence(facts)}.",
    ]
    if facts.hours and len(facts.hours["languages"]) > 1:
        most, *_, least = by_hours(facts.hours["languages"])
        least, most = (f"{language_name(name)} {hours(c)} h" for name, c in (least, most))
        rows.insert(1, f"It heard languages for unequal times, from {least} to {most}.")
    step, is_complete = steps_made(facts), facts.summary.get("is_complete", True)
    if not is_complete or (step and step < facts.trained.get("max_steps", step)):
        rows.insert(0, "The run had not reached its last step.")
    return rows


def licence(facts: Facts) -> str:
    """The weights' terms in words."""
    return NOT_STATED if facts.settings.licence == "unknown" else facts.settings.licence


def bullets(rows: list[str]) -> str:
    """A list."""
    return "\n".join(f"- {row}" for row in rows)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table; bars in cells are escaped."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in x)} |" for x in lines)
