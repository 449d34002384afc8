"""Build a model from its configuration: every choice between parts is made here."""

from __future__ import annotations

from torch import nn

from espnet2.nn.attention import SelfAttention
from espnet2.nn.cgmlp import ConvGatingMLP
from espnet2.nn.cnn_frontend import CNNFrontend
from espnet2.nn.dropout import Dropout
from espnet2.nn.e_branchformer import NORM_EPS, EBranchformerBlock, EBranchformerEncoder
from espnet2.nn.feed_forward import FeedForward
from espnet2.nn.linear_projection import LinearProjection
from espnet2.nn.positions import ConvPositions, SinusoidPositions
from espnet2.nn.utterance_mvn import UtteranceMVN
from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.encoder_config import EncoderConfig
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.initialize import INITIALIZERS
from espnet2.ssl.losses import MaskedPredictionLoss
from espnet2.ssl.masking import Masker
from espnet2.ssl.part_configs import FrontendConfig, PreencoderConfig
from espnet2.utils.errors import ConfigError


def build_model(config: SSLModelConfig) -> ESPnetSSLModel:
    """A freshly initialised model in train mode.

    Raises ConfigError when the parts' widths do not fit each other.
    """
    frontend = build_frontend(config.frontend)
    width = frontend.output_size()
    preencoder = None
    if config.preencoder is not None:
        preencoder = build_preencoder(config.preencoder, width, config.encoder.output_size)
        width = preencoder.output_size()
    normalize = config.normalize
    model = ESPnetSSLModel(
        frontend=frontend,
        normalize=None
        if normalize is None
        else UtteranceMVN(normalize.norm_means, normalize.norm_vars, normalize.eps),
        preencoder=preencoder,
        encoder=build_encoder(config.encoder, width),
        masker=Masker(width, config.masker),
        losses=[build_loss(config, index) for index in range(len(config.losses))],
        feature_grad_mult=_or(config.model.feature_grad_mult, 1.0),
        feature_penalty_weight=_or(config.model.feature_penalty_weight, 0.0),
    )
    if config.init is not None:
        INITIALIZERS[config.init](model)
    return model


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def build_frontend(config: FrontendConfig) -> CNNFrontend:
    """The convolutional front end."""
    return CNNFrontend(
        shapes=config.shapes,
        norm_mode=config.norm_mode,
        bias=config.bias,
        normalize_audio=config.normalize_audio,
        normalize_output=config.normalize_output,
    )


def build_preencoder(config: PreencoderConfig, in_dim: int, encoder_dim: int) -> LinearProjection:
    """The linear pre-encoder."""
    if config.input_size not in (None, in_dim):
        raise ConfigError(
            f"preencoder_conf: input_size {config.input_size} must be the front end's {in_dim}"
        )
    return LinearProjection(in_dim, config.output_size or encoder_dim, config.dropout)


def build_encoder(config: EncoderConfig, in_dim: int) -> EBranchformerEncoder:
    """The E-Branchformer for inputs of width ``in_dim``."""
    checkpointed = {block - 1 for block in config.gradient_checkpoint_layers if block}
    if config.activation_ckpt:
        checkpointed = set(range(config.num_blocks))
    return EBranchformerEncoder(
        dim=config.output_size,
        embed=build_embed(config, in_dim),
        blocks=[build_block(config) for _ in range(config.num_blocks)],
        checkpointed_blocks=checkpointed,
    )


def build_embed(config: EncoderConfig, in_dim: int) -> list[nn.Module]:
    """Input layer and positions; their places in the list are part of the checkpoint keys."""
    dim = config.output_size
    positions = {
        "conv": lambda: [ConvPositions(dim)],
        "abs_pos": lambda: [SinusoidPositions(dim, config.positional_dropout_rate)],
        "none": list,
    }[config.pos_enc_layer_type]()
    dropout = Dropout(config.dropout_rate)
    if config.input_layer == "linear":
        return [nn.Linear(in_dim, dim), nn.LayerNorm(dim), dropout, *positions]
    if in_dim != dim:
        raise ConfigError(
            f"encoder_conf: without an input_layer the encoder's input, {in_dim} wide, must have "
            f"output_size {dim}; set preencoder_conf: output_size or input_layer: linear"
        )
    return [*positions, dropout] if config.input_layer == "wav2vec" else positions


def build_block(config: EncoderConfig) -> EBranchformerBlock:
    """One E-Branchformer block."""
    dim, dropout = config.output_size, config.dropout_rate
    attn = SelfAttention(dim, config.attention_heads, config.attention_dropout_rate)
    attn.use_flash_attn = False if config.use_flash_attn is False else None

    def feed_forward(wanted: bool) -> FeedForward | None:
        if not wanted:
            return None
        return FeedForward(dim, config.linear_units, dropout, config.ffn_activation_type)

    return EBranchformerBlock(
        dim=dim,
        attn=attn,
        cgmlp=ConvGatingMLP(
            dim,
            config.cgmlp_linear_units,
            config.cgmlp_conv_kernel,
            dropout,
            config.use_linear_after_conv,
            config.gate_activation,
            NORM_EPS,
        ),
        feed_forward=feed_forward(config.use_ffn),
        feed_forward_macaron=feed_forward(config.macaron_ffn),
        dropout_rate=dropout,
        merge_kernel=config.merge_conv_kernel,
    )


def build_loss(config: SSLModelConfig, index: int) -> MaskedPredictionLoss:
    """The loss at ``index``, its layers checked against the encoder."""
    loss, num_blocks = config.losses[index], config.encoder.num_blocks
    for layer in loss.layers:
        if not -num_blocks <= layer < num_blocks:
            raise ConfigError(f"loss_conf: layers: there is no layer {layer} of {num_blocks}")
    return MaskedPredictionLoss(config.encoder.output_size, loss)
