"""Transcripts laid along their audio: the reference of ``quality`` where nobody has aligned.

``aligner.py`` writes the CTM, ``hmm.py`` models the letters, ``viterbi.py`` finds the best paths.
"""
