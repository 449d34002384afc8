"""What a corpus calls its languages becomes ISO 639-3; what is unknown is counted, then refused."""

from collections import Counter

from espnet2.data.corpora.kinds import OnDisk
from espnet2.data.languages import iso639_3
from espnet2.utils.errors import DataError

MAX_SHOWN = 10


class Languages:
    """The languages of one corpus."""

    def __init__(self, spec: OnDisk) -> None:
        """``spec`` may name one language for all, or map the corpus's own codes."""
        self.spec = spec
        self.unknown: Counter[str] = Counter()  # utterances of each code that is not known
        self.known: dict[str, str] = {}

    def of(self, code: str) -> str:
        """ISO 639-3 of a code or name in the corpus; ``und`` and a count if it is not known."""
        if self.spec.language is not None:
            return self.spec.language
        if code not in self.known:
            self.known[code] = self.spec.languages.get(code) or self._standard(code)
        if not self.known[code]:
            self.unknown[code] += 1
        return self.known[code] or self.spec.unknown_language or "und"

    def refuse_unknown(self, corpus: str) -> None:
        """Raise DataError if there were unknown codes and ``unknown_language`` is not set."""
        if not self.unknown or self.spec.unknown_language is not None:
            return
        shown = self.unknown.most_common(MAX_SHOWN)
        codes = ", ".join(f"'{code}' ({count} utterances)" for code, count in shown)
        more = f" and {len(self.unknown) - MAX_SHOWN} more" * (len(self.unknown) > MAX_SHOWN)
        mapping = ", ".join(f"'{code}': ..." for code, _ in shown)
        raise DataError(
            f"{corpus}: not ISO 639-3: {codes}{more}; say in corpora.yaml what they are, "
            f"languages: {{{mapping}}}, or unknown_language: und for all of them, or language: of "
            "the whole corpus"
        )

    def _standard(self, code: str) -> str:
        """ISO 639-3 by the standard's tables; empty if they do not have it."""
        try:
            return iso639_3(code)
        except DataError:
            return ""
