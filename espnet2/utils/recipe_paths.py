"""Paths that a recipe wrote relative to its own folder, found from anywhere."""

from pathlib import Path


def recipe_path(path: Path | str, beside: Path) -> Path:
    """``path`` as it is, from here, or from the nearest folder above ``beside`` that holds it.

    ``beside``: a file or folder of the same recipe, such as ``exp/superb/<encoder>/<cell>``.
    """
    path = Path(path)
    if path.is_absolute() or path.exists():
        return path
    found = (folder / path for folder in Path(beside).absolute().parents)
    return next((place for place in found if place.exists()), path)
