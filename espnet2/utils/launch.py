"""Start units: as processes of this machine, or as jobs of a cluster."""

from argparse import Namespace
from pathlib import Path

from espnet2.utils.cluster import Needs, cluster_file, settings_for
from espnet2.utils.lanes import deal, make_lanes
from espnet2.utils.launch_local import launch_local
from espnet2.utils.launch_slurm import launch_slurm


def launch(specs: list[Path], args: Namespace, needs: Needs) -> list[tuple[Path, str]]:
    """Run ``espnet2.utils.work`` on every spec; returns (spec, last error line) of the failed.

    Units with GPUs run ``args.ngpu // needs.gpus`` at once, each on its own GPUs, others
    ``args.nj``; on a cluster GPUs decide which section of its YAML holds.
    """
    path = cluster_file(args.cluster)
    if path is None:
        gpus = needs.gpus
        count = max(1, min(args.ngpu // gpus, len(specs))) if gpus else args.nj
        return launch_local(deal(specs, count, needs.together), make_lanes(count, gpus))
    settings = settings_for(args.cluster, needs.gpus)
    return launch_slurm(specs, settings, path, args.nj, needs)
