"""The XEUS model: configuration, masking, losses, checkpoints."""
