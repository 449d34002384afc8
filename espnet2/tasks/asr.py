"""The public door to trained probes: ``ASRTask.build_model_from_file(cell_folder)``."""

from pathlib import Path

from espnet2.asr.cell_data import CellData
from espnet2.asr.ctc_model import CTCModel
from espnet2.asr.vocabulary import Vocabulary
from espnet2.train.cells import CellConfig
from espnet2.train.checkpoint import load_model_state, load_tensors
from espnet2.utils.config import from_dict, load_yaml
from espnet2.utils.errors import CheckpointError


class ASRTask:
    """Builds what stage 11 trained."""

    @staticmethod
    def build_model_from_file(
        cell_dir: Path | str, device: str = "cpu"
    ) -> tuple[CTCModel, Vocabulary, CellData]:
        """The probe of a cell in eval mode, its vocabulary, and where its data lies.

        Raises:
            CheckpointError: the cell is not trained, or its files do not fit together.
        """
        folder = Path(cell_dir)
        if not (folder / "model.pth").is_file():
            raise CheckpointError(f"{folder} holds no model.pth: the cell is not trained")
        saved = load_yaml(folder / "config.yaml")
        cell = from_dict(CellConfig, saved["cell"], f"{folder / 'config.yaml'}: cell")
        vocabulary = Vocabulary.load(folder / "vocabulary.txt")
        model = CTCModel(cell.probe, **saved["model"])
        load_model_state(model, load_tensors(folder / "model.pth")["model"], folder / "model.pth")
        places = saved["data"]
        source = CellData(
            data=Path(places["root"]), features=Path(places["features"]), task=cell.task,
            track=cell.track, corpora=cell.corpora, encoder=cell.encoder,
            export=Path(places["export"]) if places["export"] else None,
            feature_config=cell.features, device=device,
        )  # fmt: skip
        return model.to(device).eval(), vocabulary, source
