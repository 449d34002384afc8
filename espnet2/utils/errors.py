"""The errors this project raises on purpose.

Each message is one line for a person: what is wrong, where (file:line, key, utterance), what to do.
``run_main`` in ``cli.py`` prints them without a traceback.
"""


class XeusError(Exception):
    """Base of every error that a user, not a programmer, has to act on."""


class ConfigError(XeusError, ValueError):
    """A YAML file, an option or an override cannot be used."""


class DataError(XeusError, ValueError):
    """A corpus, an index, a label file or an utterance cannot be used."""


class CheckpointError(XeusError, ValueError):
    """A checkpoint is damaged, of another model, or carries more than tensors."""


class TrainingError(XeusError):
    """Training cannot usefully go on."""
