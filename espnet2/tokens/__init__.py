"""Pseudo-labels: a teacher's frames, a codebook, one cluster id a frame, and how good they are.

``sample.py``, ``kmeans.py`` and ``codebook.py`` make the codebook; ``stream.py``, ``nearest.py``,
``assign.py`` and ``finish.py`` the labels. In folders: ``teachers`` (audio in, frames out),
``quality`` (what labels are worth) and ``align`` (a reference where there is none).
"""
