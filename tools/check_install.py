#!/usr/bin/env python3
"""Say what this environment lacks and what for.

Usage: tools/check_install.py [--quick]

--quick checks only what stops everything: the Python version, another package named espnet2, and
the required packages; a problem is one line and exit status 1. Needs nothing but Python itself.
"""

import importlib.metadata
import os
import shutil
import sys
from pathlib import Path

REQUIRED = {
    "torch": "the model",
    "numpy": "arrays",
    "scipy": "augmentation",
    "soundfile": "audio files",
    "soxr": "resampling",
    "kaldi-native-fbank": "the FBANK baseline",
    "kaldiio": "features as Kaldi arks",
    "pyarrow": "the index of utterances, Parquet files",
    "pycountry": "language codes",
    "pyroomacoustics": "stage 6: room impulse responses",
    "webrtcvad-wheels": "stage 2: pauses of long recordings",
    "pyyaml": "configuration",
    "safetensors": "checkpoints",
    "tqdm": "progress bars",
}
OPTIONAL = {
    "faiss-cpu": "stage 4: k-means",
    "rapidfuzz": "stage 12: error rates",
    "matplotlib": "stages 5, 8 and 13: plots",
    "sentencepiece": "stage 11: units bpe",
    "pypinyin": "stage 10: phones of Mandarin",
    "pyopenjtalk-plus": "stage 10: phones of Japanese",
    "peft": "stage 11: LoRA",
    "tensorboard": "stage 8: TensorBoard curves",
    "wandb": "stage 8: use_wandb",
    "submitit": "--cluster slurm",
    "lhotse": "stage 1: corpora of kind lhotse",
    "transformers": "stages 4 and 5: teacher hf",
    "joblib": "codebooks of scikit-learn, for convert_codebook",
    "espeakng-loader": "mini recipe, stage 1: synthetic voices",
    "unicode-rbnf": "mini recipe, stage 1: texts where no Debian package can be had",
    "torchaudio": "comparisons with torchaudio's models; nothing in the recipes",
    "flash-attn": "FlashAttention kernels; PyTorch's own are used without it",
}
PROGRAMS = {
    "apt-get": "mini recipe, stage 1: recorded speech from Debian packages",
    "dpkg-deb": "mini recipe, stage 1: recorded speech from Debian packages",
    "nvidia-smi": "training on a GPU",
    "sbatch": "--cluster slurm",
    "chromium": "the test that opens the report in a browser",
}


def version(package: str) -> str | None:
    """Installed version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def stops_everything() -> list[str]:
    """Problems no stage can work around, one line each."""
    problems = []
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        found = ".".join(map(str, sys.version_info[:2]))
        problems.append(f"Python {found} found, 3.11 to 3.13 needed: set PYTHON and reinstall")
    if (theirs := version("espnet")) is not None:
        problems.append(
            f"PyPI's espnet {theirs} is installed in {sys.prefix}; it has a package espnet2 of its"
            " own: keep the two in separate environments (pip uninstall espnet;"
            " tools/install.sh --with_espnet makes one for it)"
        )
    problems += [
        f"{package} is not installed ({purpose}): run tools/install.sh"
        for package, purpose in REQUIRED.items()
        if version(package) is None
    ]
    return problems


def table() -> None:
    """What is here, what is not, and what each thing is for."""
    for title, packages in (("required", REQUIRED), ("optional", OPTIONAL)):
        print(f"{title} packages ({sys.prefix}, Python {sys.version.split()[0]})")
        for package, purpose in packages.items():
            print(f"  {package:20} {version(package) or 'missing':16} {purpose}")
    print("programs")
    for program, purpose in PROGRAMS.items():
        print(f"  {program:20} {shutil.which(program) or 'missing':24} {purpose}")
    peer = Path(__file__).parent / "espnet_venv/.installed"
    state = "present" if peer.is_file() else "missing"
    print("other environments")
    print(f"  {'tools/espnet_venv':20} {state:16} ESPnet itself: test/peer, bench model")
    free_gb = shutil.disk_usage(Path(__file__).parent).free / 1e9
    print(f"machine: {len(os.sched_getaffinity(0))} cores, {free_gb:.0f} GB of disk free here")


def main() -> int:
    """Print the findings; 1 where something stops everything."""
    if sys.argv[1:] not in ([], ["--quick"]):
        print(__doc__)
        return 0 if sys.argv[1:] in (["--help"], ["-h"]) else 2
    if "--quick" not in sys.argv:
        table()
    problems = stops_everything()
    for problem in problems:
        print(f"check_install: error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
