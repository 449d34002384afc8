"""A checked folder to a repository on Hugging Face."""

import os
from collections.abc import Iterator

import huggingface_hub
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # of the HTTP library of this huggingface_hub, which changes
    OfflineModeIsEnabled,
)

from espnet2.hf.folder_check import CheckedFolder
from espnet2.utils.errors import ConfigError, DataError

ENDPOINT = "https://huggingface.co"


def report(folder: CheckedFolder) -> Iterator[str]:
    """Lines: what it is, and every file with its size."""
    yield f"{folder.path}: {folder.kind}, licence {folder.licence}; loads, and is what it says"
    for file in folder.files:
        yield f"  {size_of(file.stat().st_size):>9}  {file.relative_to(folder.path)}"
    total = sum(file.stat().st_size for file in folder.files)
    yield f"  {size_of(total):>9}  in {len(folder.files)} files"
    if folder.left_out:
        names = ", ".join(str(file.relative_to(folder.path)) for file in folder.left_out)
        yield f"not sent, for they are no part of the model: {names}"


def size_of(num_bytes: int) -> str:
    """``12.3 MB``."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes} B"


def upload(folder: CheckedFolder, repo: str, is_private: bool) -> str:
    """Send the files in one commit; gives the address. The repository is made where there is none.

    Raises:
        ConfigError: nobody is logged in, or ``repo`` is no name.
        DataError: the hub cannot be reached, or refuses.
    """
    hub = os.environ.get("HF_ENDPOINT", ENDPOINT)
    token = huggingface_hub.get_token()
    if token is None:
        raise ConfigError(f"nothing was sent to {hub}: run 'hf auth login', or set HF_TOKEN")
    api = huggingface_hub.HfApi(endpoint=hub, token=token, library_name="xeus")
    try:
        api.create_repo(repo, private=is_private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, folder_path=folder.path, commit_message=f"{folder.kind} of espnet2",
            allow_patterns=[str(file.relative_to(folder.path)) for file in folder.files],
        )  # fmt: skip
    except HFValidationError as error:
        raise ConfigError(f"--repo {repo!r} is no OWNER/NAME: {first_line(error)}") from None
    except OfflineModeIsEnabled:
        raise DataError("nothing was sent: HF_HUB_OFFLINE is set; unset it to upload") from None
    except HfHubHTTPError as error:
        raise DataError(f"{hub} refuses {repo}: {first_line(error)}") from None
    except (HTTPError, OSError, RuntimeError) as error:  # the last of the library in Rust
        raise DataError(
            f"{hub} cannot be reached ({first_line(error)}); what was checked is in order: run "
            "the same command again when it can"
        ) from None
    return commit.commit_url


def first_line(error: Exception) -> str:
    """An error's text up to its first line break."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
