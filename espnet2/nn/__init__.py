"""Torch layers that know nothing of XEUS."""
