"""Whether what was written is the model: loaded again, its features on real speech are equal."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from espnet2.data.index import Index
from espnet2.ssl.checkpoint_files import weights_file
from espnet2.ssl.config import SSLModelConfig, config_beside, load_config
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.interop import load_model
from espnet2.utils.errors import CheckpointError
from espnet2.utils.logs import log

MAX_DIFFERENCE = 1e-6  # of any hidden state; the same arithmetic twice differs by 0
LONGEST_CHECK_SAMPLES = 160_000  # ten seconds say as much as forty


@dataclass(frozen=True, kw_only=True)
class Check:
    """An utterance and the features that every exported file must give for it."""

    utt_id: str
    """The utterance."""

    speech: Tensor
    """Its samples (1, N)."""

    layers: list[Tensor]
    """Hidden states (1, T, D) of the averaged model, one a layer."""

    def difference(
        self, checkpoint: Path, config: Path | None = None, name: Path | None = None
    ) -> float:
        """Largest difference of any hidden state of the files when loaded, as users load them.

        Args:
            checkpoint: the file, or a Hugging Face folder.
            config: its configuration; None: found beside it.
            name: what the log and an error call it, where that is not the checkpoint.

        Raises:
            CheckpointError: it is above ``MAX_DIFFERENCE``, or the files cannot be loaded.
        """
        path, name = weights_file(checkpoint), name or checkpoint
        config = config or config_beside(path)
        model = load_model(SSLModelConfig.from_espnet(load_config(config), str(config)), path)
        theirs = hidden_states(model, self.speech)
        difference = largest_difference(self.layers, theirs)
        if not difference <= MAX_DIFFERENCE:
            raise CheckpointError(
                f"{name} gives other hidden states when read back: {difference:g} on {self.utt_id}"
            )
        log(f"{name}: read back, hidden states differ by {difference:g} on {self.utt_id}")
        return difference


def largest_difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Of any two values; NaN where one is not a number, which Python's ``max`` may pass over."""
    pairs = zip(ours, theirs, strict=True)
    return float(torch.stack([(a - b).abs().max() for a, b in pairs]).max())


def check_of(model: ESPnetSSLModel, dump: Path) -> Check:
    """What the exported files of ``model`` must give, for an utterance of ``dump``."""
    utt_id, speech = check_utterance(dump)
    return Check(utt_id=utt_id, speech=speech, layers=hidden_states(model, speech))


def check_utterance(dump: Path) -> tuple[str, Tensor]:
    """Id and samples (1, N) of the first validation utterance, at most ten seconds of it.

    Where nothing was held out, the first one of the training set.
    """
    index = Index.open(dump / "valid")
    if not len(index):
        index = Index.open(dump / "train")
    audio = torch.from_numpy(index.audio(0)[:LONGEST_CHECK_SAMPLES])
    return index.utt_ids[0], audio[None]


@torch.no_grad()
def hidden_states(model: ESPnetSSLModel, speech: Tensor) -> list[Tensor]:
    """Hidden states (1, T, D) of every layer for samples (1, N)."""
    return list(model.eval().encode(speech, torch.tensor([speech.shape[1]])).layers)
