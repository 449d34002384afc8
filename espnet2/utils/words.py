"""Words for people."""


def counted(number: int, one: str, many: str = "") -> str:
    """``1 corpus``, ``3 corpora``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
