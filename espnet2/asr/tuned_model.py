"""Encoder and probe as one model of audio: for encoders that learn, or that run in every step.

Shapes: B batch, N values of an input, T frames of 20 ms, L layers, D encoder width, U frames of
40 ms, V vocabulary.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from espnet2.asr.config import FeatureConfig, TuneConfig
from espnet2.asr.ctc_model import CTCModel
from espnet2.asr.encoders import autocast_for
from espnet2.asr.lora import add_lora
from espnet2.asr.network import Network
from espnet2.asr.unfreezing import Stage, stages
from espnet2.nn.loss_output import LossOutput
from espnet2.ssl.part_configs import MaskConfig
from espnet2.utils.errors import CheckpointError, ConfigError

ENCODER = "encoder."


class TunedModel(nn.Module):
    """Waves in, CTC loss out. What of the encoder never learns has no place in its state.

    A frozen encoder gives the numbers that ``features.py`` stores. One that learns is in training
    mode where it learns, and elsewhere in evaluation mode: there it drops nothing out.
    """

    def __init__(
        self, network: Network, probe: CTCModel, tune: TuneConfig, features: FeatureConfig,
        seed: int,
    ) -> None:  # fmt: skip
        """``seed``: of LoRA's first weights.

        Raises:
            ConfigError: the encoder has not what is to be tuned.
        """
        super().__init__()
        if tune.encoder != "frozen" and not network.is_exact_in_batch:
            raise ConfigError(
                f"tune.encoder: {tune.encoder}: this encoder's positional convolution normalises "
                "over the batch (conv_pos_batch_norm), padding included; leave it frozen"
            )
        self.tune, self.features = tune, features
        self.encoder, self.probe = network.requires_grad_(False), probe
        if tune.encoder == "lora":
            add_lora(network, tune, seed)
            network.requires_grad_(False)
        self.stages: list[Stage] = stages(network, tune)
        if self.stages:
            if tune.use_mask:
                network.mask_as(mask_config(tune))
            if tune.gradient_checkpointing:
                network.compute_twice()
        learning = {id(p) for stage in self.stages for p in stage.parameters}
        names = [f"{ENCODER}{name}" for name, p in network.named_parameters() if id(p) in learning]
        self.learning_names = frozenset(names)
        self.register_state_dict_post_hook(leave_out_frozen)
        self.register_load_state_dict_post_hook(do_not_miss_frozen)
        self.step = 0
        self.set_step(0)

    def set_step(self, step: int) -> None:
        """Let learn what learns in the update after ``step`` updates."""
        self.step = step
        for stage in self.stages:
            learns = step >= stage.first_step
            for parameter in stage.parameters:
                parameter.requires_grad_(learns)
        self.train(self.training)

    def train(self, mode: bool = True) -> "TunedModel":
        """As of any module, but what does not learn yet stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        for stage in self.stages:
            for module in stage.modules:
                module.train(mode and self.step >= stage.first_step)
        return self

    def parameter_groups(self) -> Iterator[dict[str, Any]]:
        """The probe's weights, and the encoder's with their own learning rate."""
        yield {"params": list(self.probe.parameters())}
        if self.stages:
            parameters = [p for stage in self.stages for p in stage.parameters]
            yield {"params": parameters, "lr": self.tune.encoder_lr}

    def forward(
        self, speech: Tensor, speech_lengths: Tensor, mask_uniforms: Tensor | None = None,
        **targets: Tensor,
    ) -> LossOutput:  # fmt: skip
        """The probe's loss; ``targets`` are its other arguments.

        ``speech`` (B, N, ...) of the network's ``prepare``, zero-padded; ``speech_lengths`` (B,)
        samples, on the host; ``mask_uniforms`` (B, 2 T + 1) in [0, 1), used in training only.
        """
        features, lengths = self.listen(speech, speech_lengths, mask_uniforms)
        return self.probe(features, lengths, **targets)

    def log_probs(self, speech: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, U, V) and their lengths (B,); see ``forward`` and ``CTCModel``."""
        return self.probe.log_probs(*self.listen(speech, lengths))

    def listen(
        self, speech: Tensor, lengths: Tensor, mask_uniforms: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Features (B, T, L, D), their mean over time removed where asked, and frames (B,)."""
        samples = lengths.tolist()
        if self.stages:
            is_masking = self.training and self.tune.use_mask
            layers, frames = self.encoder.layers(
                speech, samples, mask_uniforms=mask_uniforms if is_masking else None
            )
        else:
            hear = self.encoder.layers if self.encoder.is_exact_in_batch else self.hear_each
            with torch.no_grad(), autocast_for(speech.device, self.features.amp):
                layers, frames = hear(speech, samples)
        x = torch.stack([layer.float() for layer in layers], dim=2)  # (B, T, L, D)
        counts = torch.tensor(frames)
        if self.features.centre:
            x = centred(x, counts.to(x.device))
        return x if self.stages else x.to(getattr(torch, self.features.dtype)), counts

    def hear_each(self, speech: Tensor, samples: list[int]) -> tuple[list[Tensor], list[int]]:
        """Layers (B, T, D) and frames, each utterance alone: where padding shows in an encoder."""
        alone = [
            self.encoder.layers(row[None, :count], [count])
            for row, count in zip(speech, samples, strict=True)
        ]
        together = zip(*(layers for layers, _ in alone), strict=True)
        padded = [pad_sequence([x[0] for x in same], batch_first=True) for same in together]
        return padded, [frames for _, [frames] in alone]

    @property
    def mix(self) -> nn.Module:
        """The probe's weights of layers."""
        return self.probe.mix

    def load_kept(self, saved: dict[str, dict[str, Tensor]]) -> None:
        """Take what ``split_state`` made.

        Raises:
            CheckpointError: it is of another encoder.
        """
        self.probe.load_state_dict(saved["model"], strict=True)
        encoder = {f"{ENCODER}{name}": value for name, value in saved.get("encoder", {}).items()}
        if set(encoder) != self.learning_names:
            odd = min(set(encoder) ^ self.learning_names)
            raise CheckpointError(f"it does not hold the weights that were tuned: {odd} differs")
        self.load_state_dict(encoder, strict=False)


def split_state(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """A model's state as {"model": the probe's, "encoder": the encoder's, if there is any}."""
    probe = {name.removeprefix("probe."): x for name, x in state.items() if name[:8] != ENCODER}
    encoder = {name[8:]: x for name, x in state.items() if name[:8] == ENCODER}
    return {"model": probe, "encoder": encoder} if encoder else {"model": probe}


def centred(x: Tensor, counts: Tensor) -> Tensor:
    """``x`` (B, T, L, D) less each utterance's mean over its own ``counts`` (B,) frames."""
    is_pad = torch.arange(x.shape[1], device=x.device) >= counts[:, None]  # (B, T)
    x = x.masked_fill(is_pad[..., None, None], 0.0)
    mean = x.sum(dim=1, keepdim=True) / counts.clamp(min=1)[:, None, None, None]
    return (x - mean).masked_fill(is_pad[..., None, None], 0.0)


def mask_config(tune: TuneConfig) -> MaskConfig:
    """The masks of fine-tuning: of frames only."""
    return MaskConfig(
        mask_prob=tune.mask_prob, mask_length=tune.mask_length,
        mask_selection=tune.mask_selection, mask_other=tune.mask_other,
    )  # fmt: skip


def leave_out_frozen(
    model: TunedModel, state: dict[str, Tensor], prefix: str, metadata: Any
) -> None:
    """Hook of ``state_dict``: weights that never change are not saved."""
    for name in list(state):
        own = name.removeprefix(prefix)
        if own.startswith(ENCODER) and own not in model.learning_names:
            del state[name]


def do_not_miss_frozen(model: TunedModel, keys: Any) -> None:
    """Hook of ``load_state_dict``: nor are they missed."""
    keys.missing_keys[:] = [
        name
        for name in keys.missing_keys
        if not name.startswith(ENCODER) or name in model.learning_names
    ]
