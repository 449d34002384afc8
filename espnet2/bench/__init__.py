"""Measurements side by side: our encoder beside the reference, and a GPU beside its peak."""
