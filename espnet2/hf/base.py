"""What both models share: parts under the names of the file, and weights that no file had."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from espnet2.hf.config import XeusConfig
from espnet2.ssl.checks import check_tensor
from espnet2.ssl.espnet_keys import MODEL_KEYS
from espnet2.utils.errors import ConfigError

LOADED = "_is_hf_initialized"  # transformers' mark of a tensor that came from a file


class XeusPreTrainedModel(PreTrainedModel):
    """A model that draws weights as the package does, never over those of a file."""

    config_class = XeusConfig
    base_model_prefix = "xeus"
    main_input_name = "input_values"
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: XeusConfig, **unknown: Any) -> None:
        """``unknown``: what ``from_pretrained`` was given and no configuration has.

        Raises:
            ConfigError: there is any.
        """
        if unknown:
            keys = ", ".join(sorted({*MODEL_KEYS, "probe", "hearing", "vocab_size"}))
            raise ConfigError(
                f"{type(self).__name__} has no key {', '.join(sorted(unknown))}; it has ESPnet's: "
                f"{keys}. Dropout is set in encoder_conf and probe, each given whole"
            )
        super().__init__(config)

    def own_parts(self) -> nn.Module:
        """A new module whose children are this model's, but for other models in it."""
        raise NotImplementedError

    def take_parts(self) -> nn.Module:
        """Take the children of ``own_parts``, drawn; gives the module they came from."""
        parts = self.own_parts()
        for name, part in parts.named_children():
            self.add_module(name, part)
        for parameter in parts.parameters():
            if not parameter.is_meta:
                setattr(parameter, LOADED, True)
        return parts

    @torch.no_grad()
    def initialize_weights(self) -> None:
        """Draw what neither the constructor nor a file gave: transformers calls it after both."""
        inner = [name for name, x in self.named_children() if isinstance(x, XeusPreTrainedModel)]
        for name in inner:
            getattr(self, name).initialize_weights()
        missing = {
            name: parameter
            for name, parameter in self.named_parameters()
            if name.partition(".")[0] not in inner
            and not parameter.is_meta
            and not getattr(parameter, LOADED, False)
        }
        if missing:
            drawn = dict(self.own_parts().named_parameters())
            for name, parameter in missing.items():
                parameter.copy_(drawn[name])
                setattr(parameter, LOADED, True)

    def _set_gradient_checkpointing(self, enable: bool = True, **kwargs: Any) -> None:
        """Training computes every n-th block's activations twice, as the encoder itself does it."""
        super()._set_gradient_checkpointing(enable, **kwargs)
        encoder = self.base_model.encoder
        blocks = range(0, len(encoder.encoders), kwargs.get("every_n_layers", 1))
        encoder.checkpointed_blocks = frozenset(blocks if enable else ())

    def get_correct_attn_implementation(
        self, requested_attention: str | None, is_init_check: bool = False
    ) -> str:
        """sdpa, the default: whichever of its kernels torch takes. eager: none of flash attention.

        Raises:
            ConfigError: another, which would need kernels of another package.
        """
        if requested_attention not in (None, "sdpa", "eager"):
            raise ConfigError(
                f"attn_implementation={requested_attention!r} is none of XEUS, whose attention is "
                "torch's own: sdpa lets torch choose the kernel, eager forbids flash attention; to "
                "demand it, set use_flash_attn = True for every layer of encoder.encoders"
            )
        return requested_attention or "sdpa"

    def set_attn_implementation(self, *args: Any, **kwargs: Any) -> None:
        """As of any model."""
        super().set_attn_implementation(*args, **kwargs)
        self.base_model.choose_kernels()

    def refuse_slow_type(self) -> None:
        """Refuse float16 on a CPU.

        Where torch has no kernels for it, a convolution took 44 times as long as in float32, and
        training 120 times (torch 2.13).

        Raises:
            ConfigError: the weights are float16, and on a CPU.
        """
        if self.dtype == torch.float16 and self.device.type == "cpu":
            raise ConfigError(
                "the model is float16 and on a CPU, where torch takes minutes for seconds of "
                "audio: load it with dtype=torch.float32 or torch.bfloat16, or move it to a GPU"
            )

    def freeze_feature_encoder(self) -> None:
        """The convolutions on the waveform do not learn."""
        self.base_model.frontend.requires_grad_(False)

    def freeze_base_model(self) -> None:
        """The encoder does not learn."""
        self.base_model.requires_grad_(False)

    def answers_by_name(self, return_dict: bool | None) -> bool:
        """Whether ``forward`` gives an object with names; else a tuple."""
        return self.config.return_dict if return_dict is None else return_dict

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> None:
        """As of any model, with the names that stage 9 and ``SSLTask`` use."""
        super().save_pretrained(save_directory, **{"save_original_format": False, **kwargs})


def lengths_of(input_values: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Samples (B,) of each utterance, on the host.

    Raises:
        ValueError: a mask of another shape, or padding that is not on the right.
    """
    check_tensor("input_values", input_values)
    if input_values.dim() != 2:
        raise ValueError(f"input_values must be (batch, samples), got {tuple(input_values.shape)}")
    if attention_mask is None:
        return torch.full((len(input_values),), input_values.shape[1])
    if attention_mask.shape != input_values.shape:
        raise ValueError(
            f"attention_mask must have the shape of input_values, {tuple(input_values.shape)}, "
            f"got {tuple(attention_mask.shape)}"
        )
    is_audio = attention_mask.ne(0)  # (B, N)
    if (is_audio[:, 1:] & ~is_audio[:, :-1]).any():
        raise ValueError("attention_mask must be 1 on audio, then 0: padding belongs on the right")
    return is_audio.sum(1).cpu()
