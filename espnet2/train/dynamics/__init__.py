"""What a run's intermediate checkpoints tell about how it learned.

Begin reading at ``study.py``.
"""
