"""Stage 9: the averaged model in every form that others read, each read back before it counts."""

from pathlib import Path
from typing import Any

from espnet2.data.duplicates import scratch
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.interop import state_dict_as
from espnet2.train.checkpoint import save_tensors
from espnet2.train.export import espnet_zip
from espnet2.train.export.card import model_card
from espnet2.train.export.config import ExportConfig
from espnet2.train.export.espnet_folder import remove_espnet_folder, save_espnet_folder
from espnet2.train.export.facts import read_facts
from espnet2.train.export.hf_folder import save_folder
from espnet2.train.export.layouts import LAYOUTS, MODELS, exported_config, save_new_config
from espnet2.train.export.reload import Check, check_of
from espnet2.train.export.safetensors_file import save_safetensors
from espnet2.train.export.weights import averaged_model, chosen_checkpoints, step_of
from espnet2.utils.config import from_dict, load_yaml, save_yaml
from espnet2.utils.files import sha256_file, write_json, write_text
from espnet2.utils.provenance import provenance

ZIP, SAFETENSORS, FOLDER = "espnet_model.zip", "model.safetensors", "hf"
ESPNET = "espnet"  # folder
BESIDE = ("README.md", "config.json", "preprocessor_config.json")  # the weights in the folder


def export(
    exp: Path, dump: Path, out: Path, config: dict[str, Any],
    data: Path | None = None, command: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Write every form of the model, and ``export.json``; returns the latter's content.

    Args:
        data: folder of the corpora's Kaldi directories; their ``corpus.json`` knows their terms.
        command: how this was called, for the model card.

    ``export.json`` lists every file but itself, ``weights.json`` and ``provenance.json``, which
    holds where and when they were made. ``weights.json`` has what the model computes with: its hash
    decides whether features are computed anew, so another model card costs nothing.

    Raises:
        CheckpointError: nothing to export, or a file gave other numbers when read back.
    """
    settings = from_dict(ExportConfig, config, "export")
    paths = chosen_checkpoints(exp, settings)
    steps = [step_of(path) for path in paths]
    trained = load_yaml(exp / "config.yaml")
    model = averaged_model(trained, paths)
    check = check_of(model, dump)
    exported = exported_config(trained, model.losses[0].num_classes)
    differences = save_layouts(out, exported, model, steps[-1], check)
    differences |= save_for_espnet(out, exp.name, check)
    differences |= save_tensors_and_folder(out, exported, model, steps, check)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    facts = read_facts(exp, dump, data, settings, steps, parameters, command)
    write_text(out / FOLDER / "README.md", model_card(facts))
    report = {
        "steps": steps,
        "average": settings.average,
        "files": listed(out, differences),
        "checked_on": {"utt_id": check.utt_id, "samples": check.speech.shape[1]},
        "parameters": parameters,
    }
    hashes = {name: report["files"][name]["sha256"] for name in MODELS.values()}
    write_json(out / "weights.json", {"steps": steps, "sha256": hashes})
    write_json(out / "provenance.json", provenance())
    write_json(out / "export.json", report)
    return report


def save_layouts(
    out: Path, exported: dict[str, Any], model: ESPnetSSLModel, step: int, check: Check
) -> dict[str, float]:
    """Both of ESPnet's checkpoints with their YAML files; the largest difference of each."""
    save_yaml(out / "config.yaml", exported)
    save_new_config(out / "config_new.yaml", exported)
    differences = {}
    for layout in LAYOUTS:
        path = out / MODELS[layout]
        save_tensors(path, state_dict_as(model, layout, global_step=step))
        differences[path.name] = check.difference(path)
    return differences


def save_for_espnet(out: Path, name: str, check: Check) -> dict[str, float]:
    """ESPnet's folder and zip, where ESPnet can load the model; the largest difference of each."""
    path, config, model = out / ZIP, out / "config_new.yaml", out / MODELS["new"]
    if not config.is_file():
        path.unlink(missing_ok=True)
        remove_espnet_folder(out / ESPNET)
        return {}
    checkpoint = save_espnet_folder(out / ESPNET, config, model)
    differences = {f"{ESPNET}/{checkpoint.name}": check.difference(checkpoint)}
    espnet_zip.pack(path, f"exp/{name}", config, model)
    with scratch(out / ".unpacked") as folder:
        config, checkpoint = espnet_zip.unpack(path, folder)
        return differences | {path.name: check.difference(checkpoint, config, path)}


def save_tensors_and_folder(
    out: Path, exported: dict[str, Any], model: ESPnetSSLModel, steps: list[int], check: Check
) -> dict[str, float]:
    """Safetensors alone and as Hugging Face's folder, but for the model card."""
    path, folder = out / SAFETENSORS, out / FOLDER
    about = {
        "config_sha256": sha256_file(out / "config.yaml"),
        "step": str(steps[-1]),
        "steps": " ".join(map(str, steps)),
    }
    save_safetensors(path, state_dict_as(model, "old"), about)
    save_folder(folder, exported, path)
    return {
        path.name: check.difference(path),
        f"{FOLDER}/{path.name}": check.difference(folder),
    }


def listed(out: Path, differences: dict[str, float]) -> dict[str, dict[str, Any]]:
    """SHA-256 of every exported file; of those with weights, what reading them back differed by."""
    names = {"config.yaml", "config_new.yaml", f"{ESPNET}/config.yaml", *differences}
    names |= {f"{FOLDER}/{name}" for name in BESIDE}
    found = {name: out / name for name in sorted(names) if (out / name).is_file()}
    return {
        name: {"sha256": sha256_file(path)}
        | ({"max_abs_difference": differences[name]} if name in differences else {})
        for name, path in found.items()
    }
