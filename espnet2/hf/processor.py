"""``XeusProcessor``: audio in, and text in as labels or out of token ids."""

from typing import Any

from transformers import BatchFeature, ProcessorMixin

from espnet2.hf.feature_extractor import XeusFeatureExtractor
from espnet2.hf.tokenizer import XeusTokenizer

IGNORED = -100  # where a label is padding
OF_AUDIO = ("sampling_rate", "pad_to_multiple_of", "max_length", "truncation")


class XeusProcessor(ProcessorMixin):
    """The extractor for ``audio`` and the tokenizer for ``text``."""

    def __init__(self, feature_extractor: XeusFeatureExtractor, tokenizer: XeusTokenizer) -> None:
        super().__init__(feature_extractor, tokenizer)

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> Any:
        """As of any processor; the extractor is written alone, too, where others look for it."""
        self.feature_extractor.save_pretrained(save_directory)
        return super().save_pretrained(save_directory, **kwargs)

    def __call__(self, audio: Any = None, text: Any = None, **kwargs: Any) -> BatchFeature:
        """``input_values`` and ``attention_mask`` of audio; ``labels`` of text beside it.

        ``text`` alone gives the tokenizer's ``input_ids``. Padding of labels is -100.

        Raises:
            ValueError: neither was given.
        """
        if audio is None and text is None:
            raise ValueError("give audio, text, or both")
        of_text = {key: value for key, value in kwargs.items() if key not in OF_AUDIO}
        if audio is None:
            return self.tokenizer(text, **of_text)
        inputs = self.feature_extractor(audio, **kwargs)
        if text is not None:
            texts = [text] if isinstance(text, str) else text
            settings = {"padding": True, **of_text, "return_attention_mask": True}
            encoded = self.tokenizer(texts, **{**settings, "return_tensors": None})
            inputs.update(labels_of(encoded, kwargs.get("return_tensors")))
        return inputs

    def pad(
        self,
        input_features: list[dict[str, Any]] | None = None,
        labels: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """One batch of rows with ``input_values``, of rows with ``input_ids``, or of both.

        As wav2vec 2.0's processor, so that its collators serve. ``labels`` alone stay ``input_ids``
        with their mask; beside audio they become ``labels``, padded with -100.

        Raises:
            ValueError: neither was given.
        """
        if input_features is None:
            if labels is None:
                raise ValueError("give input_features, labels, or both")
            return self.tokenizer.pad(labels, **kwargs)
        inputs = self.feature_extractor.pad(input_features, **kwargs)
        if labels is not None:
            encoded = self.tokenizer.pad(labels, **{**kwargs, "return_tensors": None})
            inputs.update(labels_of(encoded, kwargs.get("return_tensors")))
        return inputs


def labels_of(encoded: Any, return_tensors: str | None) -> BatchFeature:
    """``labels`` of padded ``input_ids`` and their mask, both lists."""
    rows = zip(encoded["input_ids"], encoded["attention_mask"], strict=True)
    labels = [
        [token if is_kept else IGNORED for token, is_kept in zip(*row, strict=True)] for row in rows
    ]
    return BatchFeature({"labels": labels}, return_tensors)
