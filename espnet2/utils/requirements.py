"""What an environment must have and may have, and what each thing is for.

Python's own library only: ``tools/check_install.py`` loads this file by its path before anything is
installed, and ``xeus doctor`` imports it afterwards.
"""

import importlib.metadata
import sys

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
    "faiss-gpu-cu12": "stage 4: k-means on a GPU, in place of faiss-cpu",
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
    "transformers": "espnet2.hf; stages 4 and 5: teacher hf",
    "huggingface-hub": "push_to_hub: a model to a repository on Hugging Face",
    "joblib": "codebooks of scikit-learn, for convert_codebook",
    "scikit-learn": "codebooks of scikit-learn, for convert_codebook",
    "espeakng-loader": "mini recipe, stage 1: synthetic voices",
    "unicode-rbnf": "mini recipe, stage 1: texts where no Debian package can be had",
    "torchaudio": "comparisons with torchaudio's models; nothing in the recipes",
}
EXTRAS = {  # of setup.py, by what is imported where it is needed
    "espeakng_loader": "recipe",
    "faiss": "recipe",
    "joblib": "teachers",
    "lhotse": "lhotse",
    "matplotlib": "report",
    "peft": "lora",
    "rapidfuzz": "report",
    "sentencepiece": "recipe",
    "submitit": "recipe",
    "tensorboard": "recipe",
    "transformers": "hf",
    "unicode_rbnf": "recipe",
    "wandb": "wandb",
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
