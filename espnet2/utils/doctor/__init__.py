"""``xeus doctor``: what of a machine and an installation would get in the way, a file a subject."""
