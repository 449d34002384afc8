"""Whether this machine has the GPUs that a command asks for."""

from espnet2.utils.cluster import cluster_file
from espnet2.utils.errors import ConfigError


def refuse_missing_gpus(ngpu: int, cluster: str) -> None:
    """Refuse more GPUs than torch finds here; the nodes of a cluster may have what this one lacks.

    Raises:
        ConfigError: says how many there are.
    """
    if ngpu <= 0 or cluster_file(cluster) is not None:
        return
    import torch  # seconds, which only they pay who ask for GPUs

    found = torch.cuda.device_count()
    if found < ngpu:
        raise ConfigError(
            f"--ngpu {ngpu}: GPUs that torch finds here: {found}; ask for "
            f"{'no more' if found else '--ngpu 0, the CPU'}"
        )
