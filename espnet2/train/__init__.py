"""One training loop for any model: config, schedule, optimiser, ranks, checkpoints, metrics."""
