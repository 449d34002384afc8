"""The weights as safetensors, with equal bytes for equal content."""

import errno
import json
import os
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from espnet2.data.duplicates import scratch
from espnet2.train.checkpoint import disk_error
from espnet2.utils.files import sync

ERROR_NUMBER = re.compile(r"os error (\d+)")


def save_safetensors(path: Path, state: dict[str, Tensor], about: dict[str, str]) -> None:
    """Write tensors and ``about`` (beside ``format: pt``, which Hugging Face asks for) atomically.

    Raises OSError, naming ``path``, where the disk takes no more.
    """
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    # The library writes to a file of a random name, which a killed process would leave behind.
    with scratch(path.with_name(f".{path.name}")) as folder:
        part = folder / path.name
        part.touch()
        mode = part.stat().st_mode  # the library would let only the owner read
        try:
            save_file(state, part, {"format": "pt", **about})
        except SafetensorError as error:
            raise with_number(error, path) from None
        part.chmod(mode)
        sort_metadata(part)
        sync(part)
        os.replace(part, path)


def with_number(error: SafetensorError, path: Path) -> Exception:
    """The operating system's error that the library reports as text only."""
    found = ERROR_NUMBER.search(str(error))
    if found and int(found[1]) in errno.errorcode:
        return OSError(int(found[1]), os.strerror(int(found[1])), str(path))
    return disk_error(error, path)


def sort_metadata(path: Path) -> None:
    """Sort the header's metadata, which the library leaves in another order each time.

    The header is JSON behind its length in eight bytes; sorted it is as long as before.
    """
    with open(path, "r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= size, f"{path}: safetensors writes its header in another form"
        file.seek(8)
        file.write(text.ljust(size))
