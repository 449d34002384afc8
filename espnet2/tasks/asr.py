"""``ASRTask``: load a trained cell as something that transcribes audio; its YAML for ESPnet."""

from argparse import Namespace
from pathlib import Path

import torch

from espnet2.asr.espnet_probe import espnet_yaml, refuse_normalised
from espnet2.asr.tuned_model import TunedModel
from espnet2.asr.vocabulary import Vocabulary
from espnet2.tasks.recogniser import SpeechRecogniser
from espnet2.tasks.ssl import usable_device
from espnet2.train.cell_model import on_audio, read_cell, trained_model
from espnet2.utils.config import save_yaml
from espnet2.utils.errors import CheckpointError, ConfigError


class ASRTask:
    """The door that ESPnet's users know, to what stage 11 trained."""

    @staticmethod
    def build_model_from_file(
        config_file: Path | str | None = None,
        model_file: Path | str | None = None,
        device: str | torch.device = "cpu",
        *,
        export: Path | str | None = None,
    ) -> tuple[SpeechRecogniser, Namespace]:
        """Load a cell in **eval** mode, with its encoder; gives also the keys of its config.yaml.

        ``model_file``: the cell's folder or the model.pth in it; ``config_file``: if not the
        config.yaml beside it. ``export``: where the encoder's export folder lies now, if it moved.
        The vocabulary lies beside the model.

        Raises:
            ConfigError: nothing named, a YAML that cannot be used, no such device, no encoder.
            CheckpointError: the cell is not trained, or its files do not fit together.
        """
        path = config_file if model_file is None else model_file
        if path is None:
            raise ConfigError("build_model_from_file: give the cell's folder as model_file")
        folder = folder_of(path)
        if not (folder / "model.pth").is_file():
            raise CheckpointError(f"{folder} holds no model.pth: the cell is not trained")
        where = folder / "config.yaml" if config_file is None else Path(config_file)
        saved, cell = read_cell(where / "config.yaml" if where.is_dir() else where)
        place = export or saved["data"]["export"]
        place = Path(place) if place else None
        device = usable_device(device)
        model = trained_model(folder, cell, saved["model"], place)
        if not isinstance(model, TunedModel):
            model = on_audio(model, cell, place)
        vocabulary = Vocabulary.load(folder / "vocabulary.txt")
        return SpeechRecogniser(model, vocabulary).to(device).eval(), Namespace(**saved)

    @staticmethod
    def write_espnet_yaml(cell_folder: Path | str, encoder: Path | str, out: Path | str) -> None:
        """Write the YAML with which ESPnet trains the same probe on the same encoder.

        ``encoder``: the .pth of the export in ESPnet's layout, its config.yaml beside it. ESPnet
        mixes the outputs of the encoder's blocks; so does a cell whose encoder has ``mixes_input:
        false``, while others mix the input of the first block, too.

        Raises:
            ConfigError: ESPnet has no such probe.
        """
        folder = Path(cell_folder)
        saved, cell = read_cell(folder / "config.yaml")
        vocabulary = Vocabulary.load(folder / "vocabulary.txt")
        if vocabulary.kind == "bpe":
            raise ConfigError(f"{folder}: units: bpe; ESPnet's YAML is written for the others")
        refuse_normalised(saved["model"].get("layer_std") is not None)
        training = {
            "token_type": "word" if vocabulary.kind == "phone" else "char",
            "optim_conf": {**cell.training.get("optim_conf", {}), "lr": cell.learning_rate},
            "accum_grad": cell.training.get("accum_grad", 1),
            "keep_nbest_models": cell.average_best,
        }
        width = saved["model"]["input_size"]
        keys = espnet_yaml(cell.probe, vocabulary.tokens, Path(encoder), width, training)
        save_yaml(Path(out), keys)


def folder_of(path: Path | str) -> Path:
    """The cell's folder, from itself or a file in it."""
    path = Path(path)
    return path if path.is_dir() else path.parent
