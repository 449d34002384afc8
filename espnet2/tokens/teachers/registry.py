"""Teachers by name. A teacher's module is imported only when it is asked for."""

import importlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from espnet2.tokens.teachers.base import Teacher
from espnet2.tokens.teachers.hf_folder import model_files
from espnet2.utils.config import from_dict, guess
from espnet2.utils.errors import ConfigError

TEACHERS = {  # name: (module, teacher, its settings)
    "mfcc": ("espnet2.tokens.teachers.mfcc", "MfccTeacher", "MfccConfig"),
    "xeus": ("espnet2.tokens.teachers.xeus", "XeusTeacher", "XeusTeacherConfig"),
    "wavlablm": ("espnet2.tokens.teachers.wavlablm", "WavLabLMTeacher", "WavLabLMTeacherConfig"),
    "hf": ("espnet2.tokens.teachers.hf", "HfTeacher", "HfTeacherConfig"),
}


def build_teacher(name: str, settings: dict[str, Any], device: str = "cpu") -> Teacher:
    """The teacher ``name`` with its ``teacher_conf``.

    Raises:
        ConfigError: an unknown name or setting, with a guess.
    """
    check_name(name)
    module_name, teacher, config = TEACHERS[name]
    module = importlib.import_module(module_name)
    values = from_dict(getattr(module, config), settings, "tokens: teacher_conf")
    return getattr(module, teacher)(values, device)


def shared_teacher(name: str, settings: dict[str, Any], device: str) -> Teacher:
    """``build_teacher``, or the same one again for the next shard of a process."""
    return _last_teacher(name, json.dumps(settings, sort_keys=True, default=str), device)


@lru_cache(maxsize=1)
def _last_teacher(name: str, settings: str, device: str) -> Teacher:
    return build_teacher(name, json.loads(settings), device)


def check_name(name: str) -> None:
    """Refuse a teacher that is not in the table."""
    if name not in TEACHERS:
        raise ConfigError(
            f"tokens: teacher {name!r} is not one of {', '.join(TEACHERS)}{guess(name, TEACHERS)}"
        )


def teacher_files(name: str, settings: dict[str, Any]) -> list[Path]:
    """Files whose content decides the teacher's frames, for a unit's fingerprint."""
    check_name(name)
    if name == "hf" and "model" in settings:
        return model_files(Path(settings["model"]))
    if "checkpoint" not in settings:
        return []
    checkpoint = Path(settings["checkpoint"])
    return [checkpoint, checkpoint.parent / "config.yaml"]
