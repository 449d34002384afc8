"""The names of weights that are the norm times the direction of another, as they are in the file.

transformers takes ``weight_g`` and ``weight_v`` for the names of an old torch and renames them on
loading. XEUS' positions have these names, in the file and in the model, so they are named back.
"""

from typing import Any

from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import ConversionOps, WeightConverter

from espnet2.ssl.config import MODEL_TYPE

PAIRS = (
    (".parametrizations.weight.original0", ".weight_g"),
    (".parametrizations.weight.original1", ".weight_v"),
)


class AsItIs(ConversionOps):
    """One tensor under another name."""

    def convert(
        self, input_dict: dict[str, Any], source_patterns: list[str], target_patterns: list[str],
        **kwargs: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """See ``ConversionOps``."""
        [value] = input_dict.values()
        return {target_patterns[0]: value[0] if isinstance(value, list) else value}

    @property
    def reverse_op(self) -> ConversionOps:
        """See ``ConversionOps``."""
        return AsItIs()


def keep_weight_norm_names() -> None:
    """Tell transformers; converters come after its own renaming."""
    converters = [
        WeightConverter(source_patterns=renamed, target_patterns=ours, operations=[AsItIs()])
        for renamed, ours in PAIRS
    ]
    register_checkpoint_conversion_mapping(MODEL_TYPE, converters, overwrite=True)
