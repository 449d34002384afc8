"""``XeusProcessor``: audio in, and text in as labels or out of token ids."""

from typing import Any

from transformers import BatchFeature, ProcessorMixin

from espnet2.hf.feature_extractor import XeusFeatureExtractor
from espnet2.hf.tokenizer import XeusTokenizer

OF_AUDIO = ("sampling_rate", "pad_to_multiple_of", "max_length", "truncation")


class XeusProcessor(ProcessorMixin):
    """The extractor for ``audio`` and the tokenizer for ``text``."""

    def __init__(self, feature_extractor: XeusFeatureExtractor, tokenizer: XeusTokenizer) -> None:
        super().__init__(feature_extractor, tokenizer)

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
            encoded = self.tokenizer(text, **{"padding": True, **of_text})
            labels, mask = encoded["input_ids"], encoded["attention_mask"]
            if kwargs.get("return_tensors") == "pt":
                labels = labels.masked_fill(mask == 0, -100)
            inputs["labels"] = labels
        return inputs
