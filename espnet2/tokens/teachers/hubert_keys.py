"""Checkpoints of torchaudio's HuBERT: its names for our tensors, and a strict loader.

The files come from ESPnet's ``HubertTask``, or from torchaudio with or without its pre-training
parts. Tensors are compared, and named in errors, under torchaudio's names.
"""

from __future__ import annotations

import torch
from torch import Tensor

from espnet2.nn.transformer import WaveformTransformer
from espnet2.ssl.checkpoint_files import Checkpoint
from espnet2.ssl.interop import compare, rename
from espnet2.utils.errors import CheckpointError

# What stands before the model's names, and what else lies in such a file: (prefix, the rest).
# The rest serves pre-training (masks, the cosine head, a counter) or another task (aux).
WHOLE_MODEL = "encoder.hubert_pretrain_model."
LAYOUTS = (
    (
        f"{WHOLE_MODEL}wav2vec2.",
        (f"{WHOLE_MODEL}mask_generator.", f"{WHOLE_MODEL}logit_generator.", "encoder.global_step"),
    ),
    ("wav2vec2.", ("mask_generator.", "logit_generator.")),
    ("", ("aux.",)),
)

MODULES = (  # (our name, torchaudio's)
    ("frontend.layers.{i}.conv", "feature_extractor.conv_layers.{i}.conv"),
    ("frontend.layers.{i}.layer_norm", "feature_extractor.conv_layers.{i}.layer_norm"),
    ("norm_features", "encoder.feature_projection.layer_norm"),
    ("projection", "encoder.feature_projection.projection"),
    ("positions.conv", "encoder.transformer.pos_conv_embed.conv"),
    ("norm_input", "encoder.transformer.layer_norm"),
    *(
        (f"layers.{{i}}.{ours}", f"encoder.transformer.layers.{{i}}.{theirs}")
        for ours, theirs in (
            ("attn.linear_q", "attention.q_proj"),
            ("attn.linear_k", "attention.k_proj"),
            ("attn.linear_v", "attention.v_proj"),
            ("attn.linear_out", "attention.out_proj"),
            ("norm_attn", "layer_norm"),
            ("feed_forward.w_1", "feed_forward.intermediate_dense"),
            ("feed_forward.w_2", "feed_forward.output_dense"),
            ("norm_ff", "final_layer_norm"),
        )
    ),
)
# The two spellings of weight norm: torch's older one, which is ours, and its newer one.
WEIGHT_NORM = (
    ("weight_g", "parametrizations.weight.original0"),
    ("weight_v", "parametrizations.weight.original1"),
)
FINAL_NORM = "encoder.transformer.layer_norm."  # of pre-norm models: no layer's output passes it


def load_first_layers(model: WaveformTransformer, checkpoint: Checkpoint, num_layers: int) -> None:
    """Fill ``model``, which may lie on the meta device, in fp32 and cut it after ``num_layers``.

    All layers have to be in the file; those above are looked at, but not kept.

    Raises:
        CheckpointError: tensors are missing, left over, of another shape or no finite numbers.
    """
    found = torchaudio_tensors(checkpoint)
    if model.norm_input is None:
        found = {name: x for name, x in found.items() if not name.startswith(FINAL_NORM)}
    fit = compare({torchaudio_name(name): x for name, x in model.state_dict().items()}, found)
    if not fit.is_exact:
        raise CheckpointError(
            f"{checkpoint.path} does not fit the HuBERT model of its config.yaml: "
            f"{'; '.join(fit.sentences())}"
        )
    model.layers = model.layers[:num_layers]
    own = {}
    for name in model.state_dict():
        theirs = found[torchaudio_name(name)]
        own[name] = torch.empty(theirs.shape, dtype=torch.float32).copy_(theirs)
    model.load_state_dict(own, assign=True)


def torchaudio_name(name: str) -> str:
    """Torchaudio's name of our tensor, weight norm in the older spelling."""
    module, _, leaf = name.rpartition(".")
    return f"{rename(module, MODULES)}.{leaf}"


def torchaudio_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The tensors of the wav2vec 2.0 model in a file, under torchaudio's names for them.

    Raises CheckpointError where the file holds another model, something unknown beside it, or a
    tensor twice.
    """
    prefix, ignored = layout_of(checkpoint)
    found = {}
    for key, tensor in checkpoint.tensors.items():
        if key.startswith(ignored):
            continue
        if not key.startswith(prefix):
            raise CheckpointError(
                f"{checkpoint.path} holds {key} beside the HuBERT model {prefix}*; it is not known"
            )
        name = key.removeprefix(prefix)
        for ours, theirs in WEIGHT_NORM:
            if name.endswith(theirs):
                name = name.removesuffix(theirs) + ours
        if name in found:
            raise CheckpointError(f"{checkpoint.path} holds {name} twice, once as {key}")
        found[name] = tensor
    return found


def layout_of(checkpoint: Checkpoint) -> tuple[str, tuple[str, ...]]:
    """The prefix of the model's names and what else may lie in the file."""
    for prefix, ignored in LAYOUTS:
        if any(key.startswith(f"{prefix}feature_extractor.") for key in checkpoint.tensors):
            return prefix, ignored
    example = next(iter(checkpoint.tensors))
    raise CheckpointError(
        f"{checkpoint.path} holds no HuBERT model of torchaudio: its names, such as {example}, "
        f"do not begin with {LAYOUTS[0][0]}"
    )
