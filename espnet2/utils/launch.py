"""Start units: as processes of this machine, or as jobs of a cluster."""

from argparse import Namespace
from pathlib import Path

from espnet2.utils.cluster import cluster_file, load_cluster
from espnet2.utils.lanes import deal, make_lanes
from espnet2.utils.launch_local import launch_local
from espnet2.utils.launch_slurm import launch_slurm


def launch(
    specs: list[Path], args: Namespace, gpus: int = 0, together: int = 1
) -> list[tuple[Path, str]]:
    """Run ``espnet2.utils.work`` on every spec; returns (spec, last error line) of the failed.

    gpus: of the unit that uses most; decides how many run at once on ``args.ngpu`` GPUs, each on
        its own, or which section of the cluster's YAML holds.
    together: how many a process may do one after the other.
    """
    path = cluster_file(args.cluster)
    if path is None:
        count = max(1, min(args.ngpu // gpus, len(specs))) if gpus else args.nj
        return launch_local(deal(specs, count, together), make_lanes(count, gpus))
    cluster = load_cluster(path)
    settings = cluster.gpu if gpus else cluster.cpu
    return launch_slurm(specs, settings, path, nj=args.nj, gpus=gpus, together=together)
