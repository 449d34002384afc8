"""Stage 7: which utterances share a batch, as a function of the seed and the step.

``buckets.py`` or ``packing.py`` writes a plan, ``plan.py`` reads it batch by batch.
"""

from espnet2.data.plan.plan import Plan, PlannedBatch, build_plan

__all__ = ["Plan", "PlannedBatch", "build_plan"]
