"""What a job on a cluster may use: ``conf/cluster/*.yaml``, a section for each kind of unit."""

import dataclasses
from pathlib import Path
from typing import Any

from espnet2.utils.config import from_dict, load_yaml
from espnet2.utils.errors import ConfigError
from espnet2.utils.provenance import CONF

LOCAL = "local"
FOLDER = CONF / "cluster"


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobSettings:
    """Settings of one job; all but ``array_size`` bear the names submitit gives them."""

    timeout_min: int = 720
    """Minutes until the scheduler ends the job; what it has not finished is pending again."""

    mem_gb: float | None = 8.0
    """Memory of the whole job in GB; null leaves it to the cluster."""

    cpus_per_task: int = 1
    """Processors of the job. A job without GPUs does that many of its units at once."""

    gpus_per_node: int | None = None
    """GPUs of the job; null asks for as many as a unit uses. With more, the job does several units
    at once, each on GPUs of its own."""

    nodes: int = 1
    """Machines of a unit that can use several (pretrain), with this section's resources on each;
    other units have one."""

    array_size: int = 1000
    """Most jobs of one array (SLURM's MaxArraySize less one); more units than that share jobs."""

    slurm_partition: str | None = None
    """Partition (queue)."""

    slurm_account: str | None = None
    """Account that pays."""

    slurm_qos: str | None = None
    """Quality of service."""

    slurm_constraint: str | None = None
    """Features a node must have, such as ``a100``."""

    slurm_exclude: str | None = None
    """Nodes to keep away from."""

    slurm_signal_delay_s: int = 90
    """So many seconds before its time is up a unit that can go on later (pretrain) is asked to save
    its state; then its job returns to the queue."""

    slurm_setup: list[str] = dataclasses.field(default_factory=list)
    """Shell lines to run first in the job, such as ``module load cuda``."""

    slurm_use_srun: bool = True
    """Start the job's program through srun."""

    slurm_additional_parameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Any other option of sbatch by its long name: ``{gres: "gpu:a100:1", nice: 100}``."""

    def __post_init__(self) -> None:
        for key in (
            "timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node", "nodes", "array_size",
            "slurm_signal_delay_s",
        ):  # fmt: skip
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise ConfigError(f"conf/cluster: {key} must be above 0, got {value}")

    def for_submitit(self) -> dict[str, Any]:
        """The keywords of ``AutoExecutor.update_parameters``; what is not set is left out."""
        values = dataclasses.asdict(self)
        del values["array_size"], values["nodes"]
        return {key: value for key, value in values.items() if value not in (None, [], {})}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Needs:
    """What the units of a stage ask of where they run; ``utils.units.Unit`` says it of each."""

    gpus: int = 0
    """GPUs of the one that uses most."""

    together: int = 1
    """How many of them a process may do one after the other."""

    nodes: int = 1
    """Machines at once."""

    can_go_on: bool = False
    """Whether all of them save their state when asked to stop, and go on from it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """A file in ``conf/cluster``."""

    cpu: JobSettings = JobSettings()
    """Units without a GPU."""

    gpu: JobSettings = JobSettings(cpus_per_task=4, mem_gb=32.0)
    """Units that use one or more GPUs; as many at a time as the job's GPUs suffice for."""


def cluster_file(name: str) -> Path | None:
    """The YAML that ``--cluster`` names: its path, or its name in ``conf/cluster``.

    None for ``local``. Raises ConfigError when there is no such file.
    """
    if name == LOCAL:
        return None
    for path in (FOLDER / f"{name}.yaml", Path(name)):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
    raise ConfigError(
        f"--cluster {name}: must be {LOCAL}, a name in conf/cluster ({known}) or a YAML file"
    )


def load_cluster(path: Path) -> ClusterConfig:
    """Read a cluster's settings; an unknown key is refused with a guess."""
    return from_dict(ClusterConfig, load_yaml(path), str(path))


def settings_for(name: str, gpus: int) -> JobSettings:
    """The section that holds for units with so many GPUs, of the cluster ``--cluster`` names."""
    path = cluster_file(name)
    cluster = ClusterConfig() if path is None else load_cluster(path)
    return cluster.gpu if gpus else cluster.cpu
