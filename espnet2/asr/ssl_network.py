"""An SSL model of our own (an export, a released XEUS checkpoint) as the probe's encoder.

Shapes: B batch, N samples, T frames of 20 ms, D width.
"""

from torch import Tensor

from espnet2.asr.network import Network
from espnet2.nn.padding import padding_for
from espnet2.ssl.espnet_model import ESPnetSSLModel


class SSLNetwork(Network):
    """Input of the first block, where it is wanted, and raw output of every block."""

    def __init__(self, model: ESPnetSSLModel, mixes_input: bool = True) -> None:
        super().__init__()
        self.model, self.mixes_input = model, mixes_input
        encoder = model.encoder
        self.num_layers, self.dim = len(encoder.encoders) + mixes_input, encoder.output_size()
        self.blocks = list(encoder.encoders)
        self.below = [part for part in (model.preencoder, encoder.embed) if part is not None]
        self.frontend = [model.frontend]
        self.masker = model.masker

    def layers(
        self,
        inputs: Tensor,
        num_samples: list[int],
        width: int | None = None,
        mask_uniforms: Tensor | None = None,
    ) -> tuple[list[Tensor], list[int]]:
        """See ``Network``."""
        feats, frames = self.model.frontend(inputs, num_samples)
        feats = feats[:, :width]
        padding = padding_for(frames, feats.shape[1], feats.device)
        x = self.model.project(feats, padding)  # (B, T, D)
        if mask_uniforms is not None:
            x, _ = self.masker(x, padding, mask_uniforms)
        states = self.model.states(x, padding, use_final_output=False)
        return [x, *states] if self.mixes_input else states, frames

    def compute_twice(self) -> None:
        """See ``Network``."""
        self.model.encoder.checkpointed_blocks = frozenset(range(len(self.blocks)))
