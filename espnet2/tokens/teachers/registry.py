"""Teachers by name. A teacher's module is imported only when it is asked for."""

import importlib
from pathlib import Path
from typing import Any

from espnet2.tokens.teachers.base import Teacher
from espnet2.utils.config import from_dict, guess
from espnet2.utils.errors import ConfigError

TEACHERS = {  # name: (module, teacher, its settings)
    "mfcc": ("espnet2.tokens.teachers.mfcc", "MfccTeacher", "MfccConfig"),
    "xeus": ("espnet2.tokens.teachers.xeus", "XeusTeacher", "XeusTeacherConfig"),
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


def check_name(name: str) -> None:
    """Refuse a teacher that is not in the table."""
    if name not in TEACHERS:
        raise ConfigError(
            f"tokens: teacher {name!r} is not one of {', '.join(TEACHERS)}{guess(name, TEACHERS)}"
        )


def teacher_files(name: str, settings: dict[str, Any]) -> list[Path]:
    """Files whose content decides the teacher's frames, for a unit's fingerprint."""
    check_name(name)
    if "checkpoint" not in settings:
        return []
    checkpoint = Path(settings["checkpoint"])
    return [checkpoint, checkpoint.parent / "config.yaml"]
