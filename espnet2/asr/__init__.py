"""Downstream heads: encoders, cached features, vocabulary, the ML-SUPERB probe."""
