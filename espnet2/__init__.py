"""XEUS: self-supervised speech encoders for thousands of languages, from audio to ML-SUPERB."""

__version__ = "0.1.0"
