"""``XeusModel``: the encoder as a model of transformers.

Shapes: B batch, N samples, T frames of 20 ms, D model width.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from espnet2.asr.ssl_network import SSLNetwork
from espnet2.hf.base import XeusPreTrainedModel, lengths_of
from espnet2.hf.config import XeusConfig
from espnet2.nn.precision import at_least_float32
from espnet2.ssl.checks import check_batch
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.factory import build_model


class XeusModel(XeusPreTrainedModel):
    """Waves in, the state of every layer out; an utterance's depend on nothing but itself."""

    gradient_checkpointing = False  # transformers sets it

    def __init__(self, config: XeusConfig, **unknown: Any) -> None:
        """Raises ConfigError where the configuration is of no model that can be built."""
        super().__init__(config, **unknown)
        # Its parts are this model's own; it is no child itself, for the file's names have no
        # prefix, and so that one tensor has one name.
        self.__dict__["network"] = SSLNetwork(self.take_parts())
        self.choose_kernels()
        self.post_init()

    def own_parts(self) -> ESPnetSSLModel:
        """See ``XeusPreTrainedModel``."""
        return build_model(self.config.ssl_config())

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        use_mask: bool = False,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """The states that ``SSLTask``'s model gives.

        ``last_hidden_state`` (B, T, D) went through the final norm; ``hidden_states``, where asked
        for: the encoder's input, then the raw output of every block, each (B, T, D). T are the
        frames of the longest utterance (``frames`` counts each's).

        Args:
            input_values: (B, N) at 16 kHz in +-1.
            attention_mask: (B, N), 1 on audio and 0 on the padding behind it; None: no padding.
            use_mask: mask spans first, as the masker is set: an augmentation in fine-tuning.

        Raises:
            ValueError: a malformed batch.
            ConfigError: float16 on a CPU.
        """
        self.refuse_slow_type()
        samples = lengths_of(input_values, attention_mask)
        window = self.frontend.receptive_samples
        lengths = check_batch(input_values, samples, window, self.device)
        uniforms = self.mask_uniforms(lengths) if use_mask else None
        speech = at_least_float32(input_values[:, : max(lengths)])
        layers, _ = self.network.layers(speech, lengths, mask_uniforms=uniforms)
        last = self.encoder.after_norm(layers[-1])
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        states = tuple(layers) if output_hidden_states else None
        output = BaseModelOutput(last_hidden_state=last, hidden_states=states)
        return output if self.answers_by_name(return_dict) else output.to_tuple()

    def choose_kernels(self) -> None:
        """Forbid flash attention where attn_implementation or the encoder's own key does."""
        is_eager = self.config._attn_implementation == "eager"
        is_forbidden = is_eager or self.config.ssl_config().encoder.use_flash_attn is False
        for layer in self.encoder.encoders:
            layer.use_flash_attn = False if is_forbidden else None  # None: torch chooses

    def mask_uniforms(self, lengths: list[int]) -> Tensor:
        """(B, K) numbers in [0, 1) for the masker, of torch's generator."""
        count = self.masker.num_uniforms(self.frontend.num_frames(max(lengths)))
        return torch.rand(len(lengths), count, device=self.device)

    def frames(self, samples: Tensor) -> Tensor:
        """Frames of utterances of that many samples, in the same shape."""
        counts = [self.frontend.num_frames(count) for count in samples.flatten().tolist()]
        return torch.tensor(counts).view(samples.shape)
