"""Teachers by name. A teacher's module, and with it torch, is imported only when it is asked for:
commands that only check settings begin at once.
"""

import importlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet2.tokens.teachers.hf_folder import model_files
from espnet2.utils.config import from_dict, guess
from espnet2.utils.errors import ConfigError

if TYPE_CHECKING:
    from espnet2.tokens.teachers.base import Teacher

TEACHERS = {  # name: (module, teacher, its settings)
    "mfcc": ("espnet2.tokens.teachers.mfcc", "MfccTeacher", "MfccConfig"),
    "xeus": ("espnet2.tokens.teachers.xeus", "XeusTeacher", "XeusTeacherConfig"),
    "wavlablm": ("espnet2.tokens.teachers.wavlablm", "WavLabLMTeacher", "WavLabLMTeacherConfig"),
    "hf": ("espnet2.tokens.teachers.hf", "HfTeacher", "HfTeacherConfig"),
}


def build_teacher(name: str, settings: dict[str, Any], device: str = "cpu") -> "Teacher":
    """The teacher ``name`` with its ``teacher_conf``.

    Raises:
        ConfigError: an unknown name or setting, with a guess; a GPU where there is none.
    """
    import torch  # see the module's docstring

    config = teacher_config(name, settings)
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--ngpu: torch finds no GPU here; leave the option out to use the CPU")
    teacher_files(name, settings)  # says which one is missing
    module_name, teacher, _ = TEACHERS[name]
    return getattr(importlib.import_module(module_name), teacher)(config, device)


def teacher_config(name: str, settings: dict[str, Any]) -> Any:
    """``teacher_conf`` as the settings of the teacher ``name``; raises ConfigError."""
    check_name(name)
    module_name, _, config = TEACHERS[name]
    module = importlib.import_module(module_name)
    return from_dict(getattr(module, config), settings, "tokens: teacher_conf")


def shared_teacher(name: str, settings: dict[str, Any], device: str) -> "Teacher":
    """``build_teacher``, or the same one again for the next shard of a process."""
    return _last_teacher(name, json.dumps(settings, sort_keys=True, default=str), device)


@lru_cache(maxsize=1)
def _last_teacher(name: str, settings: str, device: str) -> "Teacher":
    return build_teacher(name, json.loads(settings), device)


def check_name(name: str) -> None:
    """Refuse a teacher that is not in the table."""
    if name not in TEACHERS:
        raise ConfigError(
            f"tokens: teacher {name!r} is not one of {', '.join(TEACHERS)}{guess(name, TEACHERS)}"
        )


def teacher_files(name: str, settings: dict[str, Any]) -> list[Path]:
    """Files whose content decides the teacher's frames, for a unit's fingerprint.

    Raises:
        ConfigError: an unknown name or setting, or a file is missing.
    """
    config = teacher_config(name, settings)
    if hasattr(config, "model"):
        return model_files(config.model)
    if not hasattr(config, "checkpoint"):
        return []
    if not config.checkpoint.is_file():
        raise ConfigError(
            f"tokens: teacher_conf: checkpoint: {config.checkpoint}: no such file; a relative path "
            f"is taken from {Path.cwd()}"
        )
    from espnet2.ssl.config import config_beside  # see the module's docstring

    return [config.checkpoint, config_beside(config.checkpoint)]
