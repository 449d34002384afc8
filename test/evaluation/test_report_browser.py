"""The report in a real browser, on a desk and on a phone: silent, complete, everything clickable.

Chromium is driven through its own protocol on two pipes (--remote-debugging-pipe): no port, no
further library. https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import io
import json
import os
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="needs chromium (Debian: apt-get install chromium)"
)
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-extensions", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip
DESK, PHONE = (1200, 2400), (390, 844)
PAPER = np.array([0xF7, 0xF6, 0xF2])


class Browser:
    """One Chromium with one page."""

    def __init__(self, folder):
        commands, self.commands = os.pipe()
        replies, answers = os.pipe()
        # Chromium reads commands from file descriptor 3 and answers on 4, each message with a NUL.
        words = [BROWSER, *QUIET, f"--user-data-dir={folder}", "--remote-debugging-pipe"]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash", *words, "about:blank"],
            pass_fds=(commands, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        self.replies = replies
        self.rest, self.number, self.session, self.events = b"", 0, None, []
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.session = session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def message(self):
        """The next message of the browser."""
        while b"\0" not in self.rest:
            part = os.read(self.replies, 2**16)
            assert part, "the browser has gone"
            self.rest += part
        text, _, self.rest = self.rest.partition(b"\0")
        return json.loads(text)

    def do(self, method, **params):
        """One command; events that come before its answer are kept."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": params}
        if self.session:
            command["sessionId"] = self.session
        os.write(self.commands, json.dumps(command).encode() + b"\0")
        while (answer := self.message()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, page, size):
        """Load a page at a size; a narrow one is a phone."""
        width, height = size
        self.do(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        self.events = []
        self.do("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.message())
        self.value(
            "new Promise(done => setTimeout(done, 200))"
        )  # what a page does when it is there

    def value(self, expression):
        """A JavaScript expression's value in the page."""
        answer = self.do(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, selector, number):
        """Press and release the left button in the middle of an element, wherever it is."""
        x, y = self.value(
            f"""(() => {{
              document.documentElement.style.scrollBehavior = "auto";
              const one = document.querySelectorAll({selector!r})[{number}];
              one.scrollIntoView({{block: "center", inline: "center"}});
              const box = one.getBoundingClientRect();
              return [box.x + Math.min(box.width / 2, 60), box.y + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self):
        """(height, width, 3) what is in the window."""
        image = base64.b64decode(self.do("Page.captureScreenshot")["data"])
        return np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).astype(np.int16)

    def console(self):
        """What the page wrote to the console, and its errors."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(e["params"]) for e in self.events if e.get("method") in kinds]

    def asked(self):
        """Addresses that the page asked for."""
        sent = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return {event["params"]["request"]["url"] for event in sent}

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        os.close(self.commands)
        os.close(self.replies)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("profile"))
    yield one
    one.close()


@pytest.fixture(params=["mini", "benchmark"])
def page(request, report, benchmark_report):
    """Both reports: of the whole recipe, and of stages 10 to 13 on the benchmark."""
    return {"mini": report, "benchmark": benchmark_report}[request.param] / "report.html"


def width_of_content(browser):
    """The width that the page would need, in CSS pixels, and the window's."""
    return browser.value("[document.documentElement.scrollWidth, window.innerWidth]")


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_console_and_network_stay_silent(browser, page, size):
    browser.open(page, size)
    assert browser.console() == []
    assert {url for url in browser.asked() if not url.startswith(("file:", "data:"))} == set()


def test_a_page_that_asks_and_complains_would_be_caught(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://127.0.0.1:9/x.png'><script>console.error('boo')</script>")
    browser.open(bad, DESK)
    assert "boo" in " ".join(browser.console())
    assert "http://127.0.0.1:9/x.png" in browser.asked()


def test_a_click_on_a_summary_opens_it_and_another_closes_it(browser, page):
    browser.open(page, PHONE)
    count = browser.value("document.querySelectorAll('summary').length")
    assert count >= 4
    is_open = "[...document.querySelectorAll('details')].map(one => one.open)"
    for number in range(count):
        browser.click("summary", number)
        assert browser.value(is_open) == [i == number for i in range(count)]
        browser.click("summary", number)
    assert browser.value(is_open) == [False] * count


def test_a_click_in_the_navigation_goes_to_the_section(browser, page):
    browser.open(page, PHONE)
    links = browser.value("[...document.querySelectorAll('nav a')].map(one => one.hash)")
    sections = browser.value("[...document.querySelectorAll('section')].map(one => '#' + one.id)")
    assert links == sections
    for number, link in enumerate(links):
        browser.click("nav a", number)
        assert browser.value("location.hash") == link
        top = browser.value(f"document.querySelector('{link} h2').getBoundingClientRect().top")
        assert 0 < top < PHONE[1], f"{link} is not in sight"


def test_nothing_on_a_phone_is_wider_than_the_phone(browser, page):
    browser.open(page, PHONE)
    assert width_of_content(browser) == [390, 390]
    browser.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert width_of_content(browser) == [390, 390]
    browser.value("document.querySelector('main').style.width = '500px'")
    assert width_of_content(browser)[0] > 390  # it would be seen


def test_wide_tables_scroll_on_a_phone_and_keep_the_name_of_the_row_in_sight(browser, page):
    browser.open(page, PHONE)
    found = browser.value(
        """[...document.querySelectorAll('div.scroll')].filter(
            one => one.offsetParent && one.scrollWidth > one.clientWidth && one.querySelector('td')
          ).map(one => {
            one.scrollLeft = one.scrollWidth;
            const name = one.querySelector('tbody th').getBoundingClientRect();
            return [one.scrollLeft > 0, name.left >= 0 && name.right < window.innerWidth];
          })"""
    )
    assert len(found) >= 3
    assert all(is_moved and is_seen for is_moved, is_seen in found)


def test_the_screenshot_shows_text_figures_and_colours(browser, report):
    browser.open(report / "report.html", DESK)
    pixels = browser.screenshot()
    assert pixels.shape == (2400, 1200, 3)
    inked = (np.abs(pixels - PAPER).sum(axis=2) > 30).mean(axis=1)  # by line
    quarters = np.array_split(inked, 4)
    assert all(part.mean() > 0.01 for part in quarters), "a quarter of the page is empty"
    for name, colour in (("pretrained", (0x0F, 0x76, 0x6E)), ("fbank", (0xD9, 0x77, 0x2B))):
        is_near = np.abs(pixels - np.array(colour)).sum(axis=2) < 24
        assert is_near.sum() > 200, f"the {name} encoder's colour is nowhere"


def test_the_first_screen_of_a_phone_shows_the_headline_figures(browser, page):
    browser.open(page, PHONE)
    pixels = browser.screenshot()
    assert pixels.shape == (844, 390, 3)
    inked = (np.abs(pixels - PAPER).sum(axis=2) > 30).mean(axis=1)
    assert all(part.mean() > 0.02 for part in np.array_split(inked, 4))
    top = browser.value("document.querySelector('.tiles .value').getBoundingClientRect().top")
    assert top < PHONE[1]
