"""Random Hugging Face speech models of a few thousand weights, saved as their hubs' folders are."""

import json

import torch
import transformers

LAYERS = 3
SIZE = {
    "hidden_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 8,
    # What must not act: in training these drop layers and mask three quarters of the frames.
    "layerdrop": 0.5,
    "mask_time_prob": 0.75,
}
CNN = {"conv_dim": [8] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
KINDS = {  # name: (class, its settings)
    "hubert_base": ("Hubert", CNN),
    "hubert_large": ("Hubert", CNN | LARGE),
    "wav2vec2_large": ("Wav2Vec2", CNN | LARGE),
    "wavlm_base": ("WavLM", CNN),
    "wavlm_large": ("WavLM", CNN | LARGE),
    "w2v_bert": ("Wav2Vec2Bert", {"output_hidden_size": 16, "add_adapter": True}),
}


def make_model(name, head="Model", **changes):
    """A model of the kind ``name``, with random weights."""
    family, settings = KINDS[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZE | settings | changes)
    model = getattr(transformers, f"{family}{head}")(config).eval()
    for module in model.modules():  # fresh norms do nothing: one left out would not be seen
        if isinstance(module, torch.nn.LayerNorm):
            torch.nn.init.normal_(module.weight, mean=1, std=0.3)
            torch.nn.init.normal_(module.bias, std=0.3)
    return model


def make_extractor(name, do_normalize=True):
    """What the model's audio goes through first."""
    if name == "w2v_bert":
        return transformers.SeamlessM4TFeatureExtractor(padding_value=1)
    return transformers.Wav2Vec2FeatureExtractor(do_normalize=do_normalize)


def save(folder, model, extractor, **how):
    """The folder, as ``hf download`` would leave it."""
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder, **how)
    extractor.save_pretrained(folder)
    transformers.utils.logging.enable_progress_bar()
    return folder


def edit_json(path, **changes):
    """Change some keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
