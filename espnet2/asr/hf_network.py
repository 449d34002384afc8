"""A Hugging Face model (HuBERT, WavLM, wav2vec 2.0, w2v-BERT) as the probe's encoder.

Loaded and checked as the teacher of that name is. Shapes: B batch, S samples, T frames, D width.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from espnet2.asr.network import LINEAR_ATTENTION, Network
from espnet2.data.frames import num_frames
from espnet2.nn.padding import padding_for
from espnet2.ssl.masking import Masker
from espnet2.ssl.part_configs import MaskConfig
from espnet2.tokens.teachers import hf_folder
from espnet2.tokens.teachers.hf import build_network
from espnet2.tokens.teachers.hf_networks import FilterbankNetwork, filterbanks
from espnet2.utils.errors import ConfigError

PROJ_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
# WavLM hands the weights of its attention to torch, past the layers that LoRA would replace.
LORA_TARGETS = {
    "wavlm": ("intermediate_dense", "output_dense"),
    "wav2vec2-bert": LINEAR_ATTENTION,
}


class HfNetwork(Network):
    """Input of the first layer and raw output of every layer."""

    def __init__(self, folder: Path) -> None:
        """Read the folder.

        Raises:
            ConfigError: transformers is missing, or the folder or its kind of model cannot be used.
            CheckpointError: weights that are damaged or of another model.
        """
        super().__init__()
        hf_folder.model_files(folder)
        self.network = build_network(folder)
        model, config = self.network.model, self.network.model.config
        self.num_layers, self.dim = config.num_hidden_layers + 1, config.hidden_size
        self.lora_targets = LORA_TARGETS.get(config.model_type, PROJ_ATTENTION)
        self.blocks = list(model.encoder.layers)
        self.masker = Masker(self.dim, MaskConfig())
        self.masker.mask_embedding = model.masked_spec_embed
        del model.masked_spec_embed
        model.feature_projection.register_forward_hook(self.mask)
        self.uniforms: Tensor | None = None  # of the forward that is running
        self.frames: list[int] = []
        self.below = [model.feature_projection, *own_parts(model.encoder)]
        if isinstance(self.network, FilterbankNetwork):
            self.prepare = partial(one_row_or_more, self.network.features)
        else:
            self.take_waves(config, folder)

    def take_waves(self, config: Any, folder: Path) -> None:
        """Refuse other frames than ours; keep padding out of the statistics of a group norm."""
        model = self.network.model
        if any(self.network.num_frames(n) != num_frames(n) for n in range(2000)):
            raise ConfigError(
                f"{folder}: its convolutions do not see 400 samples every 320, as the frames of "
                "the benchmark do"
            )
        self.frontend = [model.feature_extractor]
        if config.feat_extract_norm == "group":
            model.feature_extractor = EachAlone(model.feature_extractor)
        self.is_exact_in_batch = not getattr(config, "conv_pos_batch_norm", False)

    def layers(
        self,
        inputs: Tensor,
        num_samples: list[int],
        width: int | None = None,
        mask_uniforms: Tensor | None = None,
    ) -> tuple[list[Tensor], list[int]]:
        """See ``Network``.

        w2v-BERT may have one frame less than the law says: its last one is then repeated.
        """
        wanted = [num_frames(count) for count in num_samples]
        # Under 560 samples w2v-BERT has no frame: it sees one of zeros.
        self.frames = [max(self.network.num_frames(count), 1) for count in num_samples]
        self.uniforms = mask_uniforms
        is_wave = inputs.dim() == 2
        convolutions = getattr(self.network.model, "feature_extractor", None)
        if isinstance(convolutions, EachAlone):
            convolutions.num_samples = num_samples
        states = self.network.outputs(
            inputs, num_samples if is_wave else self.frames, output_hidden_states=True
        ).hidden_states
        if self.frames != wanted:
            states = [repeat_last(x, self.frames, max(wanted)) for x in states]
        return [x[:, :width] for x in states], wanted

    def mask(self, module: nn.Module, args: Any, output: Any) -> Any:
        """Hook of the projection: its output with spans masked, where numbers were given."""
        if self.uniforms is None:
            return None
        x, *rest = output if isinstance(output, tuple) else (output,)
        padding = padding_for(self.frames, x.shape[1], x.device)
        x, _ = self.masker(x, padding, self.uniforms[:, : self.masker.num_uniforms(x.shape[1])])
        return (x, *rest) if isinstance(output, tuple) else x

    def compute_twice(self) -> None:
        """See ``Network``."""
        model = self.network.model
        new, old = "activation_checkpointing_enable", "gradient_checkpointing_enable"
        enable = getattr(model, new if hasattr(model, new) else old)  # transformers renamed it
        enable({"use_reentrant": False})


class EachAlone(nn.Module):
    """Convolutions that see an utterance without its padding: their norm is over time."""

    def __init__(self, convolutions: nn.Module) -> None:
        super().__init__()
        self.convolutions, self.num_samples = convolutions, []

    def forward(self, speech: Tensor) -> Tensor:
        """(B, S) -> (B, D, T)."""
        counts = self.num_samples or [speech.shape[1]] * len(speech)
        rows = [
            self.convolutions(row[None, :count])[0].transpose(0, 1)
            for row, count in zip(speech, counts, strict=True)
        ]
        total = num_frames(speech.shape[1])
        rows = pad_sequence(rows, batch_first=True)  # (B, T', D)
        return nn.functional.pad(rows, (0, 0, 0, total - rows.shape[1])).transpose(1, 2)


def one_row_or_more(extractor: Any, wave: np.ndarray) -> Tensor:
    """(S,) -> (T, 160) filter banks; a row of zeros for under 560 samples, which have none."""
    values = filterbanks(extractor, wave)
    return values if len(values) else values.new_zeros(1, values.shape[1])


def own_parts(encoder: nn.Module) -> list[nn.Module]:
    """What the encoder does before its first layer."""
    names = ("pos_conv_embed", "layer_norm", "dropout", "embed_positions")
    return [part for name in names if isinstance(part := getattr(encoder, name, None), nn.Module)]


def repeat_last(x: Tensor, frames: list[int], total: int) -> Tensor:
    """(B, T, D) -> (B, ``total``, D): what is behind an utterance's frames is its last one."""
    last = torch.tensor(frames, device=x.device)[:, None] - 1
    index = torch.arange(total, device=x.device).minimum(last)  # (B, total)
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))
