"""Configuration: frozen dataclasses hold the defaults, YAML the difference, ``a.b=c`` wins.

An unknown key or a wrong type is refused with file, path and a guess. A recipe YAML has one section
a purpose, each an inline mapping or the path of a shared YAML (relative to the recipe YAML). It may
name another recipe YAML as its ``base`` and hold only the difference. Where a name is chosen anew,
its settings go with it: another ``teacher`` leaves the ``teacher_conf`` of the one before behind.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from espnet2.utils.errors import ConfigError
from espnet2.utils.files import write_text

T = TypeVar("T")

SECTIONS = (
    "seed", "data", "format", "combine", "tokens", "augment", "plan", "pretrain", "export",
    "finetune", "report",
)  # fmt: skip


class UniqueKeyLoader(yaml.SafeLoader):
    """``yaml.SafeLoader`` that refuses a key given twice instead of keeping the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                mark = key_node.start_mark
                raise ConfigError(f"{mark.name}:{mark.line + 1}: {key_node.value} is given twice")
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; anything else is a ``ConfigError`` with file and line."""
    try:
        with open(path, encoding="utf-8") as file:
            data = UniqueKeyLoader(file).get_single_data()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        problem = getattr(error, "problem", None) or error
        raise ConfigError(f"{path}:{line}: not valid YAML: {problem}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a mapping, got a {type(data).__name__}")
    return data


def load_section(conf: Path, name: str, overrides: Sequence[str] = ()) -> dict:
    """Section ``name`` of a recipe YAML as plain data, with ``section.key=value`` overrides."""
    section = load_recipe(conf, overrides).get(name) or {}
    if not isinstance(section, dict):
        raise ConfigError(f"{conf}: {name} must be a mapping or a file's path, got {section!r}")
    return section


def load_seed(conf: Path, overrides: Sequence[str] = ()) -> int:
    """The recipe's ``seed`` (default 0)."""
    seed = load_recipe(conf, overrides).get("seed", 0)
    if type(seed) is not int or seed < 0:
        raise ConfigError(f"{conf}: seed must be a whole number, got {seed!r}")
    return seed


def load_recipe(conf: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A recipe YAML with its sections read, laid over its ``base``, then the overrides."""
    data = load_layers(Path(conf), [])
    for setting in overrides:
        section = setting.partition("=")[0].partition(".")[0]
        if section not in SECTIONS or "=" not in setting:
            raise ConfigError(
                f"--set {setting}: must be section.key=value; sections are {', '.join(SECTIONS)}"
            )
        data = override(data, setting)
        if isinstance(data[section], str):
            data[section] = load_section_file(Path(conf).parent / data[section], [])
    return data


def load_layers(conf: Path, above: list[Path]) -> dict[str, Any]:
    """``conf`` laid over its bases; ``above`` are the YAMLs that led here."""
    data, base = load_with_base(conf, above)
    for name, section in data.items():
        if name not in SECTIONS:
            raise ConfigError(f"{conf}: {name} is not a known section{guess(name, SECTIONS)}")
        if isinstance(section, str):
            data[name] = load_section_file(conf.parent / section, [])
    return data if base is None else merge(load_layers(base, [*above, conf.resolve()]), data)


def load_section_file(path: Path, above: list[Path]) -> dict[str, Any]:
    """The YAML of one section laid over its bases."""
    data, base = load_with_base(path, above)
    return data if base is None else merge(load_section_file(base, [*above, path.resolve()]), data)


def load_with_base(path: Path, above: list[Path]) -> tuple[dict[str, Any], Path | None]:
    """A YAML without its key ``base``, and the file which that names, if any."""
    if path.resolve() in above:
        raise ConfigError(f"{path} is its own base")
    data = load_yaml(path)
    base = data.pop("base", None)
    return data, None if base is None else path.parent / base


def merge(base: dict, changes: dict) -> dict:
    """``changes`` laid over ``base``: mappings are merged, everything else is replaced."""
    merged = dict(base)
    for key in changes:
        if is_other_choice(base, changes, key):
            merged.pop(f"{key}_conf", None)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def is_other_choice(base: dict, changes: dict, key: str) -> bool:
    """Whether ``key`` names something else than before, whose ``<key>_conf`` does not fit it."""
    return key in base and base[key] != changes[key] and not isinstance(changes[key], dict)


def override(data: dict, setting: str) -> dict:
    """``override(data, "mask.prob=0.1")`` returns a new tree with that leaf replaced."""
    path, _, text = setting.partition("=")
    key, _, rest = path.partition(".")
    if not rest:
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"--set {setting}: {text!r} is not a YAML value") from None
        changed = {**data, key: value}
        if is_other_choice(data, changed, key):
            changed.pop(f"{key}_conf", None)
        return changed
    inner = data.get(key) or {}
    if not isinstance(inner, dict):
        raise ConfigError(f"--set …{setting}: {key} is {inner!r}, it has no keys of its own")
    return {**data, key: override(inner, f"{rest}={text}")}


def from_dict(cls: type[T], data: dict[str, Any], where: str) -> T:
    """Build the dataclass ``cls`` from plain data.

    Raises:
        ConfigError: an unknown key (with a guess) or a wrong type; every problem, one a line.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must be a mapping, got {data!r}")
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # a class of any kind comes in
    known = {field.name for field in fields}
    required = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    problems, values = [], {}
    for key, value in data.items():
        if key not in known:
            problems.append(f"{where}: {key} is not a known key{guess(key, known)}")
            continue
        try:
            values[key] = convert(hints[key], value, f"{where}: {key}")
        except ConfigError as error:
            problems.append(str(error))
    problems += [f"{where}: {key} is required" for key in sorted(required - set(data))]
    if problems:
        raise ConfigError("\n".join(problems))
    return cls(**values)


def guess(key: object, known: typing.Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` or nothing."""
    near = difflib.get_close_matches(str(key), list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def convert(hint: Any, value: Any, where: str) -> Any:
    """``value`` as the type ``hint`` asks for; lists become tuples where a tuple is asked."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_dict(hint, value, where)
    if origin in (typing.Union, types.UnionType):
        return convert_union(parts, value, where)
    if origin is typing.Literal:
        if value not in parts:
            raise ConfigError(f"{where} must be one of {', '.join(map(str, parts))}, got {value!r}")
        return value
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list, got {value!r} ({type(value).__name__})")
        # tuple[int, str] names each place; list[int] and tuple[int, ...] name them all.
        fixed = origin is tuple and parts and parts[-1] is not Ellipsis
        if fixed and len(parts) != len(value):
            raise ConfigError(f"{where} must hold {len(parts)} values, got {len(value)}")
        hints = parts if fixed else [parts[0] if parts else Any] * len(value)
        pairs = enumerate(zip(hints, value, strict=True))
        return origin(convert(part, item, f"{where}[{i}]") for i, (part, item) in pairs)
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} must be a mapping, got {value!r}")
        key_hint, value_hint = parts
        return {
            convert(key_hint, k, where): convert(value_hint, v, f"{where}.{k}")
            for k, v in value.items()
        }
    return convert_leaf(hint, value, where)


def convert_union(parts: tuple[Any, ...], value: Any, where: str) -> Any:
    """The first of a union's types that accepts ``value``."""
    if value is None and type(None) in parts:
        return None
    choices = [part for part in parts if part is not type(None)]
    problems = []
    for part in choices:
        try:
            return convert(part, value, where)
        except ConfigError as error:
            problems.append(error)
    raise problems[0]


def convert_leaf(hint: type, value: Any, where: str) -> Any:
    """A plain value of exactly the type ``hint``; an int may stand for a float."""
    if hint is float and type(value) is int:
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if type(value) is not hint:
        name = getattr(hint, "__name__", str(hint))
        message = f"{where} must be {name}, got {value!r} ({type(value).__name__})"
        if hint is float and isinstance(value, str):
            message += "; YAML reads 3e-4 as text, write 3.0e-4 or 0.0003"
        raise ConfigError(message)
    return value


def to_dict(config: Any) -> Any:
    """A dataclass tree as plain data that YAML and JSON can hold."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, dict):
        return {key: to_dict(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [to_dict(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def differences(old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    """Where two trees of plain data differ: dotted key, value in either, "absent" without one."""
    before, after = leaves(old), leaves(new)
    pairs = [
        (key, before.get(key, "absent"), after.get(key, "absent"))
        for key in sorted({*before, *after})
    ]
    return [(key, was, now) for key, was, now in pairs if was != now]


def leaves(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings and lists by dotted key."""
    if isinstance(tree, dict) and tree:
        pairs = list(tree.items())
    elif isinstance(tree, list | tuple) and tree:
        pairs = list(enumerate(tree))
    else:
        return {prefix: tree}
    found: dict[str, Any] = {}
    for key, value in pairs:
        found.update(leaves(value, f"{prefix}.{key}" if prefix else str(key)))
    return found


def save_yaml(path: Path, data: Any) -> None:
    """Write a dataclass tree or plain data as YAML, atomically."""
    write_text(path, yaml.safe_dump(to_dict(data), sort_keys=False, allow_unicode=True))
