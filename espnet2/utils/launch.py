"""Start units: as processes of this machine, or as jobs of a cluster."""

from argparse import Namespace
from pathlib import Path

from espnet2.utils.cluster import cluster_file, load_cluster
from espnet2.utils.launch_local import launch_local
from espnet2.utils.launch_slurm import launch_slurm


def launch(specs: list[Path], args: Namespace, gpus: int = 0) -> list[tuple[Path, str]]:
    """Run ``espnet2.utils.work`` on every spec; returns (spec, last error line) of the failed.

    gpus: of the unit that uses most; decides which section of the cluster's YAML holds.
    """
    path = cluster_file(args.cluster)
    if path is None:
        return launch_local(specs, args.nj)
    cluster = load_cluster(path)
    settings = cluster.gpu if gpus else cluster.cpu
    return launch_slurm(specs, settings, path, nj=args.nj, gpus=gpus)
