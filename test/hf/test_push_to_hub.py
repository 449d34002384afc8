"""The push command: it checks a folder whole, lists it, and sends it to a hub of our own."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import load_file, save_file

from espnet2.bin import push_to_hub
from espnet2.hf.cell_folder import save_cell
from espnet2.utils.errors import CheckpointError, ConfigError, DataError
from espnet2.utils.files import read_json, write_json

FILES = ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as one commit needs; it keeps what it was sent."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        if self.server.status != 200:
            return self.answer({"error": "the token may not write"}, self.server.status)
        url = f"http://127.0.0.1:{self.server.server_port}/owner/name"
        if self.path.endswith("/preupload/main"):
            wanted = [{**file, "uploadMode": "regular", "shouldIgnore": False}
                      for file in json.loads(body)["files"]]  # fmt: skip
            return self.answer({"files": wanted})
        if self.path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    self.server.got[value["path"]] = base64.b64decode(value["content"])
            return self.answer(
                {"success": True, "commitOid": "0" * 40, "commitUrl": f"{url}/commit/{'0' * 40}"}
            )
        if self.path == "/api/repos/create":
            self.server.created = json.loads(body)
            return self.answer({"url": url})
        return self.answer({"errors": [], "warnings": []})  # of the card's YAML

    def answer(self, value, status=200):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.got, server.asked, server.status = {}, [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    yield server
    server.shutdown()
    server.server_close()


def test_a_folder_is_checked_listed_and_sent_as_it_is(folder, hub, capsys):
    (folder / "optimizer.pth").write_text("of somebody's own")
    push_to_hub.main([str(folder), "--repo", "owner/name", "--private"])
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"{folder}: XeusModel, licence cc-by-4.0; loads, and is what it says"
    assert [line.split()[-1] for line in out[1:5]] == FILES
    size = (folder / "model.safetensors").stat().st_size
    assert out[3].split()[:2] == [f"{size / 1e3:.1f}", "kB"]
    assert out[5].endswith("in 4 files")
    assert out[6] == "not sent, for they are no part of the model: optimizer.pth"
    assert out[7] == f"sent: {os.environ['HF_ENDPOINT']}/owner/name/commit/{'0' * 40}"
    assert hub.got == {name: (folder / name).read_bytes() for name in FILES}
    assert "private" in (hub.created.get("visibility"), hub.created.get("private") and "private")


def test_a_recogniser_goes_with_its_vocabulary(tones, hub, tmp_path):
    save_cell(tones[1], tmp_path / "joint", licence="cc-by-4.0")
    push_to_hub.main([str(tmp_path / "joint"), "--repo", "owner/name"])
    assert sorted(hub.got) == sorted(path.name for path in (tmp_path / "joint").iterdir())
    assert {"vocabulary.txt", "tokenizer_config.json", "processor_config.json"} <= set(hub.got)


def test_a_dry_run_sends_nothing(folder, hub, capsys):
    push_to_hub.main([str(folder), "--repo", "owner/name", "--dry_run"])
    assert capsys.readouterr().out.endswith("nothing was sent to owner/name: --dry_run\n")
    assert hub.asked == []


def test_a_hub_that_refuses_is_one_line(folder, hub):
    hub.status = 403
    with pytest.raises(
        DataError, match=r"^http://127.0.0.1:\d+ refuses owner/name: .*403"
    ) as error:
        push_to_hub.main([str(folder), "--repo", "owner/name"])
    assert "\n" not in str(error.value)
    assert hub.got == {}


@pytest.mark.parametrize("name", ["three/parts/name", "a b/c"])
def test_a_name_that_is_none_is_refused(folder, hub, name):
    with pytest.raises(ConfigError, match="is no OWNER/NAME"):
        push_to_hub.main([str(folder), "--repo", name])
    assert hub.asked == []


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_of_a_test", "http://127.0.0.1:9 cannot be reached ("),
        (None, "nothing was sent to http://127.0.0.1:9: run 'hf auth login', or set HF_TOKEN"),
    ],
    ids=["unreachable", "no_token"],
)
def test_offline_or_without_a_token_everything_local_is_done_and_the_rest_one_line(
    folder, tmp_path, token, message
):
    environment = {k: v for k, v in os.environ.items() if k not in ("HF_TOKEN", "HF_HUB_OFFLINE")}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    environment |= {"HF_TOKEN": token} if token else {}
    command = [sys.executable, "-m", "espnet2.bin.push_to_hub", str(folder), "--repo", "a/b"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "model.safetensors" in done.stdout
    [line] = [line for line in done.stderr.splitlines() if line.startswith("push_to_hub")]
    assert line.startswith(f"push_to_hub: error: {message}")
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_not_whole_is_refused(folder):
    arguments = [str(folder), "--repo", "owner/name", "--dry_run"]
    card, weights = folder / "README.md", folder / "model.safetensors"
    card.write_text("---\nlicense: unknown\n---\n")
    with pytest.raises(ConfigError, match="does not say under which licence the weights are"):
        push_to_hub.main(arguments)
    card.write_text("# no front matter")
    with pytest.raises(ConfigError, match="does not say under which licence the weights are"):
        push_to_hub.main(arguments)
    card.unlink()
    with pytest.raises(ConfigError, match=r"holds no README.md: stage 9 and export_cell write R"):
        push_to_hub.main(arguments)
    card.write_text("---\nlicense: mit\n---\n")
    state = load_file(weights)
    for change, problem in (
        ({"encoder.after_norm.weight": None}, "1 missing weights: encoder.after_norm.weight"),
        ({"another": torch.ones(1)}, "1 unexpected weights: another"),
        ({"encoder.after_norm.weight": torch.full((32,), torch.nan)}, "holds NaN"),
    ):
        changed = {k: v for k, v in (state | change).items() if v is not None}
        save_file(changed, weights, {"format": "pt"})
        with pytest.raises(CheckpointError, match=problem):
            push_to_hub.main(arguments)
    save_file(state, weights, {"format": "pt"})
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", config | {"model_type": "hubert"})
    with pytest.raises(ConfigError, match="is of no model of espnet2.hf"):
        push_to_hub.main(arguments)
    write_json(folder / "config.json", config)
    (folder / "preprocessor_config.json").unlink()
    weights.unlink()
    with pytest.raises(ConfigError, match=r"model.safetensors, preprocessor_config.json: model.sav"
                       r".*; XeusFeatureExtractor\(\).save_pretrained\(FOLDER\)"):  # fmt: skip
        push_to_hub.main(arguments)
    (folder / "config.json").unlink()
    with pytest.raises(
        ConfigError, match="name a folder of stage 9, of export_cell, or one that mo"
    ):
        push_to_hub.main(arguments)
