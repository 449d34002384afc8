"""Corpora: from what a package, a folder or a synthesizer gives to Kaldi directories."""
