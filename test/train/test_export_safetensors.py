"""The safetensors file: equal bytes, readable by the library, whole or absent."""

import os
import resource
import stat

import pytest
import torch
from safetensors import safe_open

from espnet2.train.export.safetensors_file import save_safetensors

STATE = {"b": torch.arange(6.0).view(2, 3).t(), "a": torch.ones(3, dtype=torch.int64)}
ABOUT = {name: "é" * number for number, name in enumerate("hgfedcba")}


def test_equal_content_gives_equal_bytes_with_sorted_metadata(tmp_path):
    contents = set()
    for number in range(4):  # the library orders eight keys in 40,320 ways
        path = tmp_path / f"{number}.safetensors"
        save_safetensors(path, STATE, ABOUT)
        contents.add(path.read_bytes())
    assert len(contents) == 1
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt", **ABOUT}
        for name, tensor in STATE.items():
            assert torch.equal(file.get_tensor(name), tensor)
    assert sorted(os.listdir(tmp_path)) == [f"{number}.safetensors" for number in range(4)]


def test_others_may_read_it_as_any_other_file(tmp_path):
    save_safetensors(tmp_path / "x.safetensors", STATE, {})
    (tmp_path / "plain").touch()
    modes = [stat.S_IMODE((tmp_path / x).stat().st_mode) for x in ("x.safetensors", "plain")]
    assert modes[0] == modes[1]


def test_a_disk_that_takes_no_more_is_an_error_of_the_disk_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_text("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**12, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            save_safetensors(path, {"a": torch.zeros(2**14)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.filename == str(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["x.safetensors"]


def test_what_a_killed_write_left_is_gone_after_the_next(tmp_path):
    left = tmp_path / ".x.safetensors"
    left.mkdir()
    (left / ".tmpAbCdEf").write_bytes(b"half")
    save_safetensors(tmp_path / "x.safetensors", STATE, {})
    assert os.listdir(tmp_path) == ["x.safetensors"]
