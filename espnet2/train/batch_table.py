"""A table of utterances that went wrong, which a run adds to and a resumed run continues."""

from pathlib import Path

from espnet2.utils.files import write_text

HEAD = "batch\tutt_id\treason\n"


class BatchTable:
    """Tab-separated lines: number of the plan's batch, utterance, reason.

    The file is made when there is a line to write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut_after(self, batch: int) -> None:
        """Remove the lines of batches after number ``batch``."""
        if self.path.is_file():
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
            whole = [line for line in lines if line.endswith("\n")]  # a crash may have cut the last
            kept = [line for line in whole if int(line.partition("\t")[0]) <= batch]
            write_text(self.path, HEAD + "".join(kept))

    def add(self, batch: int, utt_id: str, reason: str) -> None:
        """Append a line; tabs and line ends become spaces."""
        is_new = not self.path.is_file()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(HEAD if is_new else "")
            file.write(
                "\t".join([str(batch), *(" ".join(v.split()) for v in (utt_id, reason))]) + "\n"
            )
