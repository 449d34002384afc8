"""The name ``xeus_local`` in s3prl's hub, where all its programs look upstreams up."""

from __future__ import annotations

from pathlib import Path

from espnet2.s3prl.expert import UpstreamExpert
from espnet2.s3prl.torchaudio_gaps import fill_torchaudio_gaps
from espnet2.tasks.ssl import SSLTask
from espnet2.utils.errors import ConfigError


def register() -> None:
    """Make s3prl importable beside today's torchaudio, and put ``xeus_local`` into its hub.

    Call it before any import of s3prl; again does no harm.

    Raises ConfigError where s3prl or torchaudio is not installed.
    """
    fill_torchaudio_gaps()
    try:
        from s3prl import hub
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"s3prl cannot be imported ({error}): pip install 'xeus[s3prl]'"
        ) from None
    hub.xeus_local = xeus_local


def xeus_local(
    ckpt: Path | str | None = None,
    model_config: Path | str | None = None,
    refresh: bool = False,
) -> UpstreamExpert:
    """An upstream with the weights of a checkpoint: released, pre-trained or exported here.

    The names of the arguments are s3prl's. ``ckpt``: a checkpoint of either layout, an export
    folder or a Hugging Face folder. ``model_config``: its YAML; None takes the one beside it.
    ``refresh`` is for upstreams that are downloaded, and means nothing here. Nothing else is taken:
    an unknown argument is an error.

    Raises:
        ConfigError: no checkpoint named, or a URL; a YAML that is missing or cannot be used.
        CheckpointError: a checkpoint that cannot be read or does not match every key.
    """
    if ckpt is None:
        raise ConfigError(
            "xeus_local needs a checkpoint: path_or_url= of S3PRLUpstream, -k of run_downstream"
        )
    if "://" in str(ckpt):
        raise ConfigError(f"xeus_local reads files: download {ckpt} and give its path")
    model, _ = SSLTask.build_model_from_file(model_config, ckpt)
    return UpstreamExpert(model).eval()
