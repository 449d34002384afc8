"""Teacher ``hf``: one layer of a HuBERT, WavLM, wav2vec 2.0 or w2v-BERT folder of Hugging Face.

The folder is read by ``transformers`` (extra ``hf``) and nothing is fetched. Only the layers up to
the chosen one are built and loaded, and the frames are that layer's raw output. That is entry
``[layer]`` of transformers' ``output_hidden_states`` (entry 0 is the first layer's input), except
for one: for the last layer of models with ``do_stable_layer_norm``, transformers before version 5
puts the state behind the encoder's final norm there. Here that norm is never applied.
"""

import contextlib
import pickle  # for the name of its error
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.tokens.teachers import hf_folder
from espnet2.tokens.teachers.hf_networks import FilterbankNetwork, WaveformNetwork
from espnet2.tokens.teachers.network import NetworkTeacher, NetworkTeacherConfig
from espnet2.utils.errors import CheckpointError, ConfigError

FAMILIES = {  # model_type of config.json: (class of transformers, how audio gets in)
    "hubert": ("HubertModel", WaveformNetwork),
    "wavlm": ("WavLMModel", WaveformNetwork),
    "wav2vec2": ("Wav2Vec2Model", WaveformNetwork),
    "wav2vec2-bert": ("Wav2Vec2BertModel", FilterbankNetwork),
}
UNUSED = {  # what training or another task has behind or inside the encoder
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "layerdrop": 0.0,
    "add_adapter": False,
    "use_intermediate_ffn_before_adapter": False,
}
MASK_VECTOR = "masked_spec_embed"
FRONT_PARTS = ("feature_extractor.", "feature_projection.", "encoder.pos_conv_embed.")


@dataclass(frozen=True, kw_only=True)
class HfTeacherConfig(NetworkTeacherConfig):
    """Settings of the teacher; see ``NetworkTeacherConfig`` too."""

    model: Path
    """A folder with config.json, preprocessor_config.json and weights, as
    ``hf download OWNER/NAME --local-dir FOLDER`` leaves it."""


class HfTeacher(NetworkTeacher):
    """Hidden states of one transformer layer; the layers above it are removed."""

    def __init__(self, config: HfTeacherConfig, device: str = "cpu") -> None:
        """``device``: a torch device.

        Raises:
            ConfigError: transformers is missing, or the folder, the kind of model, the layer or
                the step of the frames is not one that can be used.
            CheckpointError: weights that are damaged, of another model, or more than tensors.
        """
        hf_folder.model_files(config.model)
        network = build_network(config.model, config.layer)
        super().__init__(
            network,
            network.model.config.hidden_size,
            config,
            device,
            is_exact_in_batch=network.is_exact_in_batch,
        )
        self.sha256 = hf_folder.weights_sha256(config.model)

    def layer_output(self, speech: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        """See ``NetworkTeacher``."""
        return self.network(speech, lengths)

    def identity(self) -> dict[str, Any]:
        """Name, settings, the weights' hash, and whether audio is normalised first.

        Where the folder lies does not matter.
        """
        return {
            "teacher": "hf",
            **self.settings(),
            "checkpoint_sha256": self.sha256,
            "normalise_audio": self.network.is_normalising,
        }


def build_network(folder: Path, layer: int | None = None) -> nn.Module:
    """The folder's network, cut at the layer, with the folder's way to take audio.

    Without a layer it is whole, with its ``masked_spec_embed`` (zeros where the folder has none).
    """
    kind = hf_folder.model_type(folder)
    if kind not in FAMILIES:
        raise ConfigError(
            f"{hf_folder.where(folder)}: holds a model of type {kind!r}; "
            f"only {', '.join(FAMILIES)} are read"
        )
    class_name, network_class = FAMILIES[kind]
    with quiet_transformers() as transformers:
        model = cut_model(getattr(transformers, class_name), folder, layer)
        with readable(folder, ConfigError):
            extractor = getattr(transformers, network_class.extractor).from_pretrained(
                folder, local_files_only=True
            )
    if extractor.sampling_rate != SAMPLE_RATE_HZ:
        raise ConfigError(
            f"{hf_folder.where(folder)}: hears {extractor.sampling_rate} Hz, "
            f"audio here has {SAMPLE_RATE_HZ}"
        )
    try:
        return network_class(model, extractor)
    except ConfigError as error:
        raise ConfigError(f"{hf_folder.where(folder)}: {error}") from None


def cut_model(model_class: Any, folder: Path, layer: int | None) -> nn.Module:
    """The model with the first ``layer`` layers, float32, every weight of them from the folder."""
    with readable(folder, ConfigError):
        config = model_class.config_class.from_pretrained(folder, local_files_only=True)
    is_whole = layer is None
    layer = config.num_hidden_layers if is_whole else layer
    if not 1 <= layer <= config.num_hidden_layers:
        raise ConfigError(
            f"tokens: teacher_conf: layer must be 1 to {config.num_hidden_layers} for {folder}, "
            f"got {layer}"
        )
    config.num_hidden_layers = layer
    for name, value in UNUSED.items():
        if hasattr(config, name):
            setattr(config, name, value)
    if is_whole:
        config.mask_time_prob = 1.0  # else it would be built without the vector; see below
    with readable(folder, CheckpointError):
        model, report = model_class.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=hf_folder.weight_files(folder)[0].suffix == ".safetensors",
            ignore_mismatched_sizes=True,  # they are refused below, by name
            output_loading_info=True,
        )
    refuse_misfits(folder, report, layer)
    if getattr(config, "do_stable_layer_norm", False):
        model.encoder.layer_norm = nn.Identity()  # comes after the last layer
    if is_whole:
        config.mask_time_prob = 0.0  # its own masks hang on numpy's generator
        if MASK_VECTOR in report["missing_keys"]:
            nn.init.zeros_(model.masked_spec_embed)
    return model


def refuse_misfits(folder: Path, report: dict[str, Any], layer: int) -> None:
    """Demand that the weights are those of the model that config.json describes.

    Tensors of later layers, heads and masks are left out on purpose. One of a part in use is not:
    WavLM's weights, for one, would fit wav2vec 2.0 but for what it does not know.
    """
    in_use = (*FRONT_PARTS, *(f"encoder.layers.{i}." for i in range(layer)))
    misfits = {
        "lack": [key for key in report["missing_keys"] if key != MASK_VECTOR],
        "have another shape of": [key for key, *_ in report["mismatched_keys"]],
        "have": [key for key in report["unexpected_keys"] if any(part in key for part in in_use)],
    }
    problems = [f"{what} {min(keys)} (of {len(keys)})" for what, keys in misfits.items() if keys]
    if problems:
        raise CheckpointError(
            f"{folder}: the weights are not of the model that config.json describes: they "
            f"{', '.join(problems)}"
        )


@contextlib.contextmanager
def quiet_transformers() -> Iterator[ModuleType]:
    """``transformers`` without its progress bars and notes; what matters is checked here."""
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            f"a Hugging Face model needs transformers: pip install 'xeus[hf]' ({one_line(error)})"
        ) from None
    # Its WavLM adds a boolean mask to a bias of floats; torch remarks on that in every process.
    warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
    logging = transformers.utils.logging
    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield transformers
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def readable(folder: Path, error_class: type[Exception]) -> Iterator[None]:
    """What transformers, safetensors and torch raise for a folder, as one line of ours."""
    try:
        yield
    except pickle.UnpicklingError:
        raise error_class(
            f"{folder}: its .bin file carries more than tensors, or is damaged, and is not read; "
            "if you trust it, save its tensors as model.safetensors (safetensors.torch.save_file)"
        ) from None
    except Exception as error:  # theirs have no common base
        raise error_class(
            f"{folder}: transformers cannot read it: {type(error).__name__}: {one_line(error)}"
        ) from error


def one_line(error: Exception) -> str:
    """What a foreign error says, without its line breaks and its end."""
    return " ".join(str(error).split())[:200]
