"""Language codes as a Hugging Face model card lists them: two letters where there are two."""

from collections.abc import Iterable

import pycountry

SPECIAL = ("und", "mul", "mis", "zxx")  # of ISO 639-3, but no languages


def hub_codes(languages: Iterable[str]) -> list[str]:
    """Codes of the languages (ISO 639-3), sorted; special and private ones are left out."""
    found = (pycountry.languages.get(alpha_3=code) for code in languages if code not in SPECIAL)
    return sorted({getattr(one, "alpha_2", one.alpha_3) for one in found if one is not None})
