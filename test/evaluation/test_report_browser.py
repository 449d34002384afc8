"""The report in a real browser: no console message, no request, something to see."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from espnet2.evaluation.report import write_report
from espnet2.evaluation.report_config import ReportConfig

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="needs chromium (Debian: apt-get install chromium)"
)
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-extensions", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip


def visit(page, folder):
    """Open a page once: console messages, addresses the page asked for, the screenshot."""
    command = [
        BROWSER, *QUIET, f"--user-data-dir={folder / 'profile'}", "--window-size=1200,2400",
        "--enable-logging=stderr", f"--log-net-log={folder / 'net.json'}",
        f"--screenshot={folder / 'page.png'}", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    events = json.loads((folder / "net.json").read_text())["events"]
    # The browser's own housekeeping has no initiator; a page's requests have one.
    asked = {
        event["params"]["url"]
        for event in events
        if event.get("params", {}).get("initiator", "not an origin") != "not an origin"
    }
    return console, asked, folder / "page.png"


@pytest.fixture(scope="module")
def seen(fake_run, tmp_path_factory):
    """One visit to the report."""
    out = tmp_path_factory.mktemp("browser")
    write_report("seed: 1\n", fake_run.exp, fake_run.dump, fake_run.ssl, out, "x", ReportConfig())
    return visit(out / "report.html", out)


def test_console_and_network_stay_silent(seen):
    console, asked, _ = seen
    assert console == []
    assert {url for url in asked if not url.startswith("file:")} == set()


def test_a_page_that_asks_and_complains_would_be_caught(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text("<img src='http://127.0.0.1:9/x.png'><script>console.error('boo')</script>")
    console, asked, _ = visit(page, tmp_path)
    assert "boo" in console[0]
    assert asked == {"http://127.0.0.1:9/x.png"}


def test_the_screenshot_shows_text_figures_and_colours(seen):
    pixels = np.asarray(Image.open(seen[2]).convert("RGB")).astype(np.int16)
    assert pixels.shape == (2400, 1200, 3)
    paper = np.array([0xF7, 0xF6, 0xF2])
    inked = (np.abs(pixels - paper).sum(axis=2) > 30).mean(axis=1)  # by line
    quarters = np.array_split(inked, 4)
    assert all(part.mean() > 0.01 for part in quarters), "a quarter of the page is empty"
    for name, colour in (("pretrained", (0x0F, 0x76, 0x6E)), ("fbank", (0xD9, 0x77, 0x2B))):
        is_near = np.abs(pixels - np.array(colour)).sum(axis=2) < 24
        assert is_near.sum() > 200, f"the {name} encoder's colour is nowhere"
