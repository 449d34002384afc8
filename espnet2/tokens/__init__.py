"""Pseudo-labels: a teacher's frames, a codebook, one cluster id a frame, and how good they are."""
