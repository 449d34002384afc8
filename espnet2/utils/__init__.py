"""Helpers that know nothing of speech: errors, config, files, units of work, seeds, logs."""
