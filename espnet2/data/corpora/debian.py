"""Debian packages as folders of files: fetched, checked, unpacked, never installed.

``downloads/debian/archives/<name>.deb`` is the cache, ``downloads/debian/<name>/`` the files, and
``downloads/debian/.<name>.done`` says which archive they came from and how many there are.
"""

import fcntl
import shutil
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from espnet2.data.corpora.apt import Apt, require_tools
from espnet2.data.corpora.config import PackageSpec
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json, sha256_file, write_json
from espnet2.utils.logs import log
from espnet2.utils.processes import start

ATTEMPTS = 2
SPACE_PER_BYTE = 2.5  # of a .deb: the archive itself and its files, 1.4 times as large here


class PackageStore:
    """The packages under ``downloads/debian``."""

    def __init__(self, downloads: Path, apt: Apt) -> None:
        self.root, self.apt = Path(downloads) / "debian", apt

    def folder(self, name: str) -> Path:
        """Where a package's files are."""
        return self.root / name

    def marker(self, name: str) -> Path:
        """The small file that stands for a package's content."""
        return self.root / f".{name}.done"

    def is_ready(self, name: str, spec: PackageSpec) -> bool:
        """Whether every file of the pinned package is there."""
        try:
            marker = read_json(self.marker(name))
        except (OSError, ValueError):
            return False
        return marker == {"sha256": spec.sha256, "files": count_files(self.folder(name))}

    def ensure(self, packages: dict[str, PackageSpec], nj: int) -> None:
        """Fetch and unpack what is missing; unpacking goes on while the next one is fetched.

        Raises:
            NotOfferedError: no Debian tools here, or no mirror has a package.
            DataError: no network, or an archive that is not the pinned one.
        """
        missing = {n: spec for n, spec in packages.items() if not self.is_ready(n, spec)}
        if not missing:
            return
        require_tools()
        self.require_space(missing)
        with one_at_a_time(self.root), ThreadPoolExecutor(nj) as pool:
            total = sum(spec.size for spec in missing.values())
            log(f"fetching {', '.join(missing)} ({total / 1e6:.0f} MB)")
            unpacking: list[Future] = []
            with tqdm(total=total, unit="B", unit_scale=True, disable=None) as bar:
                for name, spec in missing.items():
                    bar.set_description(name)
                    archive = self.archive(name, spec, bar)
                    unpacking.append(pool.submit(self.unpack, name, spec, archive))
            for future in unpacking:
                future.result()

    def require_space(self, packages: dict[str, PackageSpec]) -> None:
        """Raise DataError before anything is fetched that would not fit."""
        self.root.mkdir(parents=True, exist_ok=True)
        needed = sum(spec.size * SPACE_PER_BYTE for spec in packages.values())
        free = shutil.disk_usage(self.root).free
        if free < needed:
            raise DataError(
                f"{self.root} needs {needed / 1e6:.0f} MB for {', '.join(packages)}, but only "
                f"{free / 1e6:.0f} MB are free; free some space and run the same command again"
            )

    def archive(self, name: str, spec: PackageSpec, bar: tqdm) -> Path:
        """The verified .deb of a package, from the cache or the mirror.

        Raises:
            DataError: what the mirror gives is, twice, not the pinned archive.
        """
        path = self.root / "archives" / f"{name}.deb"
        begin = bar.n
        for attempt in range(1, ATTEMPTS + 1):
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                self.apt.fetch(
                    name, spec.version, path, lambda done: bar.update(begin + done - bar.n)
                )
            digest = sha256_file(path)
            if digest == spec.sha256:
                bar.update(begin + spec.size - bar.n)
                return path
            path.unlink()
            if attempt < ATTEMPTS:
                log(f"{path} is damaged (sha256 {digest[:12]}...); fetching it again")
        raise DataError(
            f"{name} {spec.version}: the archive fetched is not the pinned one: sha256 "
            f"{digest[:12]}... instead of {spec.sha256[:12]}...; it was deleted"
        )

    def unpack(self, name: str, spec: PackageSpec, archive: Path) -> None:
        """Unpack into a temporary folder, then rename it."""
        part = self.root / f".{name}.part"
        for path in (part, self.folder(name)):
            shutil.rmtree(path, ignore_errors=True)
        self.marker(name).unlink(missing_ok=True)
        command = ["dpkg-deb", "--extract", str(archive), str(part)]
        child = start(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _, said = child.communicate()
        if child.returncode != 0:
            shutil.rmtree(part, ignore_errors=True)
            reason = said.decode("utf-8", "replace").strip().splitlines()
            raise DataError(
                f"cannot unpack {archive}: {reason[0] if reason else 'dpkg-deb failed'}"
            )
        part.rename(self.folder(name))
        content = {"sha256": spec.sha256, "files": count_files(self.folder(name))}
        write_json(self.marker(name), content)


def count_files(folder: Path) -> int:
    """How many files, links not counted, a folder holds at any depth."""
    return sum(path.is_file() and not path.is_symlink() for path in folder.rglob("*"))


@contextmanager
def one_at_a_time(folder: Path):
    """A lock, so that two stages at once do not unpack into each other's folders."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f"waiting for another process that fills {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
