"""XEUS among the models of ``transformers``: importing this package registers it there.

Afterwards ``AutoModel``, ``AutoModelForCTC``, ``AutoFeatureExtractor``, ``AutoTokenizer``,
``AutoProcessor`` and ``pipeline`` open folders and repositories of ``model_type: xeus``; no code is
fetched from a repository.
"""

from espnet2.utils.errors import ConfigError

try:
    import transformers as _transformers
except ImportError as error:
    raise ConfigError(f"espnet2.hf needs transformers: pip install 'xeus[hf]' ({error})") from None

from espnet2.hf.config import XeusConfig
from espnet2.hf.feature_extractor import XeusFeatureExtractor
from espnet2.hf.for_ctc import XeusForCTC
from espnet2.hf.model import XeusModel
from espnet2.hf.processor import XeusProcessor
from espnet2.hf.tokenizer import XeusTokenizer
from espnet2.hf.weight_names import keep_weight_norm_names

__all__ = [
    "XeusConfig", "XeusFeatureExtractor", "XeusForCTC", "XeusModel", "XeusProcessor",
    "XeusTokenizer",
]  # fmt: skip

keep_weight_norm_names()
_transformers.AutoConfig.register(XeusConfig.model_type, XeusConfig)
_transformers.AutoModel.register(XeusConfig, XeusModel)
_transformers.AutoModelForCTC.register(XeusConfig, XeusForCTC)
_transformers.AutoFeatureExtractor.register(XeusConfig, XeusFeatureExtractor)
_transformers.AutoTokenizer.register(XeusConfig, slow_tokenizer_class=XeusTokenizer)
_transformers.AutoProcessor.register(XeusConfig, XeusProcessor)
