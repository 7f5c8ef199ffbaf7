"""The page in a real browser, under its own policy: what a reader sees, presses and reads with a pointer."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reasonenv.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NODE = shutil.which("node")
REPORT = Path(__file__).resolve().parents[2] / "reasonenv" / "report"
WIDE, PHONE = (1280, 900), (390, 844)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the PATH to open the page for real")


class Browser:
    """A chromium without a window, driven by the DevTools protocol: JSON messages through two pipes, each ended by 0.

    What it evaluates runs whatever the page's Content-Security-Policy says; the page's own script does not.
    """

    def __init__(self, profile: Path) -> None:
        (commands, self._commands), (self._answers, answers) = os.pipe(), os.pipe()

        def connect() -> None:  # chromium reads from 3 and writes to 4
            ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (commands, answers)]
            for end, number in zip(ends, (3, 4), strict=True):
                os.dup2(end, number)

        options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync --hide-scrollbars"
        options += " --disable-background-networking --disable-component-update --remote-debugging-pipe"
        self._process = subprocess.Popen(
            [str(CHROMIUM), *options.split(), f"--user-data-dir={profile}", "about:blank"],
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=connect,
        )
        os.close(commands)
        os.close(answers)
        self._count, self._unread = 0, b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            chunk = os.read(self._answers, 1 << 20)
            assert chunk, "the browser has ended"
            self._unread += chunk
        message, _, self._unread = self._unread.partition(b"\0")
        return dict(json.loads(message))

    def open(self, page: Path, size: tuple[int, int] = WIDE, *, dark: bool = False, hash: str = "") -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        phone = size[0] < 500
        self.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=phone
        )
        self.call("Page.navigate", url="about:blank")
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri() + hash)
        while not self.run("location.protocol === 'file:' && document.readyState === 'complete'"):
            time.sleep(0.05)

    def run(self, program: str) -> Any:
        """The value of the last expression of a program."""
        answer = self.call("Runtime.evaluate", expression=program, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """A key, as a person presses it."""
        code = {"Enter": 13, "Tab": 9, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def point(self, selector: str, across: float, down: float) -> None:
        """The mouse at these shares of the width and the height of the first such element."""
        place = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            "return [b.left, b.top, b.width, b.height]; })()"
        )
        x, y = place[0] + across * place[2], place[1] + down * place[3]
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def complaints(self) -> list[dict[str, Any]]:
        """What the console says."""
        kinds = {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}
        return [event for event in self.events if event["method"] in kinds]

    def close(self) -> None:
        self.call("Browser.close")
        self._process.wait(timeout=30)
        os.close(self._commands)
        os.close(self._answers)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def two_settings(finished: Path, tmp_path_factory: pytest.TempPathFactory, copy_cells: Callable[..., None]) -> Path:
    """The page of a suite with two environments."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("two") / "suite")
    copy_cells(folder, env="reasonenv/SVAMP-Response-v0")
    return write_report(folder)


@pytest.mark.parametrize("size", [WIDE, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_runs_off_and_the_console_is_silent(
    browser: Browser, two_settings: Path, size: tuple[int, int], dark: bool
) -> None:
    browser.open(two_settings, size, dark=dark)
    browser.run("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert browser.run("document.documentElement.scrollWidth") == size[0]
    assert browser.complaints() == []


def test_tables_fit_a_desktop_and_scroll_by_keyboard_on_a_phone(browser: Browser, finished: Path) -> None:
    overflowing = (
        "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.offsetParent)"
    )
    browser.open(finished / "report.html", WIDE)
    assert browser.run(f"{overflowing}.map(e => e.ariaLabel)") == []
    browser.open(finished / "report.html", PHONE)
    assert browser.run(f"{overflowing}.length") >= 3
    assert browser.run(f"{overflowing}.every(e => e.tabIndex === 0 && e.role === 'region' && e.ariaLabel)")


COLUMN = "[...document.querySelector('#results tbody').rows].map(row => row.cells[{column}].firstChild.textContent)"
NAMES = "[...document.querySelector('#results tbody').rows].map(row => row.querySelector('b').textContent)"


def test_tables_are_sorted_by_keyboard(browser: Browser, finished: Path) -> None:
    browser.open(finished / "report.html")
    assert browser.run(NAMES) == ["prior", "ei", "grpo"]
    sort = "document.querySelector('#results').querySelectorAll('th')[{}].getAttribute('aria-sort')"
    browser.run("document.querySelectorAll('#results th button')[1].focus()")
    assert browser.run(sort.format(1)) == "none"
    browser.press("Enter")
    values = [float(value) for value in browser.run(COLUMN.format(column=1))]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 3
    assert browser.run(sort.format(1)) == "descending"
    browser.press("Enter")
    assert [float(value) for value in browser.run(COLUMN.format(column=1))] == values[::-1]
    assert browser.run(sort.format(1)) == "ascending"
    # The prior is not compared with itself: a row without a value stands last, in both orders.
    browser.run("document.querySelectorAll('#results th button')[2].focus()")
    for _ in range(2):
        browser.press("Enter")
        assert browser.run(NAMES)[-1] == "prior"
    assert browser.run(sort.format(1)) == "none"
    browser.run("document.querySelectorAll('#results th button')[0].focus()")
    browser.press("Enter")
    assert browser.run(NAMES) == ["ei", "grpo", "prior"]


def test_values_and_intervals_are_read_by_mouse_and_by_keyboard(browser: Browser, finished: Path) -> None:
    with (finished / "table.csv").open() as file:
        lines = [line.split(",") for line in file.read().splitlines() if ",grpo,pass@16,mean," in line]
    value, low, high = (100 * float(number) for number in lines[0][7:10])
    expected = f"grpo {value:.1f}% [{low:.1f}, {high:.1f}]"
    reading = "document.querySelectorAll('.plot')[4].querySelector('.reading').innerText.replaceAll('\\n', ' ')"
    browser.open(finished / "report.html")
    assert browser.run("document.querySelectorAll('.plot')[4].querySelector('svg').ariaLabel").startswith("pass@k")
    assert expected not in browser.run(reading)
    browser.run("document.querySelectorAll('.plot')[4].id = 'pass'")
    browser.point("#pass svg", 0.85, 0.9)
    assert expected in browser.run(reading)
    assert browser.run(reading).startswith("k samples (log₂): 16")
    browser.point("#pass svg", 0.11, 0.9)
    assert browser.run(reading).startswith("k samples (log₂): 1 ")
    browser.point("#results", 0.5, 0.5)
    assert expected not in browser.run(reading)
    browser.run("document.querySelector('#pass').focus({focusVisible: true})")
    assert expected in browser.run(reading)  # the end of the lines, at first
    browser.press("ArrowLeft")
    assert browser.run(reading).startswith("k samples (log₂): 8 ")
    browser.press("Home")
    assert browser.run(reading).startswith("k samples (log₂): 1 ")


def test_a_finger_reads_values_too(browser: Browser, finished: Path) -> None:
    browser.open(finished / "report.html", PHONE)
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    x, y = browser.run(
        "(() => { const e = document.querySelector('.plot svg'); e.scrollIntoView({block: 'center'});"
        "const b = e.getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]; })()"
    )
    browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    reading = browser.run("document.querySelector('.reading').innerText.replaceAll('\\n', ' ')")
    browser.call("Emulation.setTouchEmulationEnabled", enabled=False)
    assert re.search(r"rollouts: [\d,]+ .*grpo [\d.]+% \[[\d.]+, [\d.]+\]", reading)


def test_every_link_leads_somewhere(browser: Browser, two_settings: Path) -> None:
    browser.open(two_settings)
    links = browser.run("[...document.links].map(link => link.getAttribute('href')).filter(l => l[0] === '#')")
    assert len(links) > 40
    missing = browser.run(
        "[...document.links].filter(link => link.getAttribute('href')[0] === '#')"
        ".filter(link => !document.getElementById(decodeURIComponent(link.hash.slice(1)))).length"
    )
    assert missing == 0
    assert browser.run("new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size") == browser.run(
        "document.querySelectorAll('[id]').length"
    )


def test_a_link_to_a_problem_shows_it(browser: Browser, finished: Path) -> None:
    shown = "[...document.querySelectorAll('.problem')].filter(e => e.offsetParent).map(e => e.id)"
    browser.open(finished / "report.html", hash="#answers-problem-3")
    assert browser.run(shown) == ["answers-problem-3"]
    browser.run("document.querySelector('[data-filter=agent]').value = 'grpo'")
    browser.run("document.querySelector('.index').open = true; document.querySelectorAll('.index a')[6].click()")
    browser.run("dispatchEvent(new HashChangeEvent('hashchange'))")  # of itself it comes a moment later
    assert browser.run(shown) == ["answers-problem-7"]
    assert browser.run("document.querySelector('[data-filter=agent]').value") == ""


def test_the_downloads_are_the_files(browser: Browser, finished: Path) -> None:
    browser.open(finished / "report.html")
    links = dict(browser.run("[...document.querySelectorAll('a[download]')].map(a => [a.download, a.href])"))
    assert links.keys() == {"table.csv", "curves.csv"}
    for name, link in links.items():
        assert base64.b64decode(link.partition("base64,")[2]) == (finished / name).read_bytes()


# WCAG 2.1: the relative luminance of a colour, and the contrast of all visible text with what is behind it.
CONTRAST = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const pixel = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = colour => {
    const [r, g, b] = pixel(colour).slice(0, 3).map(c => c / 255)
      .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (pixel(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const poor = [];
  for (const e of document.querySelectorAll("main *")) {
    const text = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!text || !e.getClientRects().length || e.tagName === "TITLE") continue;
    const style = getComputedStyle(e), colour = e.closest("svg") ? style.fill : style.color;
    const [a, b] = [luminance(colour), luminance(behind(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(`${e.tagName}.${e.className.baseVal ?? e.className}: ` +
      `${((a + 0.05) / (b + 0.05)).toFixed(2)} ${e.textContent.slice(0, 20)}`);
  }
  return poor;
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_stands_out_in_light_and_dark(browser: Browser, finished: Path, dark: bool) -> None:
    browser.open(finished / "report.html", dark=dark)
    browser.run("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == (
        "rgb(20, 23, 27)" if dark else "rgb(253, 252, 250)"
    )
    assert browser.run(CONTRAST) == []


def test_a_page_without_its_script_shows_everything(browser: Browser, finished: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text((finished / "report.html").read_text(encoding="utf-8").replace("'sha256-", "'sha256-x"))
    browser.open(page)
    assert browser.run("[...document.querySelectorAll('.problem, .plot')].every(e => e.offsetParent)")
    assert browser.run("document.querySelectorAll('th button, .controls:not([hidden])').length") == 0


@pytest.mark.skipif(NODE is None, reason="needs node to parse the script")
def test_the_script_has_no_error_and_leaves_no_name(browser: Browser, finished: Path) -> None:
    subprocess.run([str(NODE), "--check", REPORT / "report.js"], check=True)
    text = (REPORT / "report.js").read_text(encoding="utf-8")
    assert text.startswith('"use strict";')
    banned = r"\bvar\s|innerHTML|insertAdjacentHTML|document\.write|\beval\b|[^=!]==[^=]|!=[^=]|\t| $"
    assert not re.search(banned, text, re.M)
    assert max(map(len, text.splitlines())) <= 120
    browser.open(finished / "report.html")
    names = set(re.findall(r"^(?:const|function) (\w+)", text, re.M))
    assert [name for name in names if len(re.findall(rf"\b{name}\b", text)) < 2] == []  # nothing that is not used


def test_the_style_sheet_is_read_whole_and_styles_what_is_there(browser: Browser, finished: Path) -> None:
    # A browser drops a declaration that it does not know and a rule that it cannot parse: both would be counted here.
    text = re.sub(r"/\*.*?\*/", "", (REPORT / "report.css").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert text.count("{") == text.count("}")
    names = set(re.findall(r"^\s*(--[\w-]+):", text, re.M))
    uses = set(re.findall(r"var\((--[\w-]+)\)", text)) - {"--hue"}  # which the page sets itself
    assert uses <= names
    browser.open(finished / "report.html")
    selectors = browser.run(
        "[...document.styleSheets[0].cssRules].flatMap(r => r.cssRules?.length ? [...r.cssRules] : [r])"
        ".map(r => r.selectorText).filter(Boolean)"
    )
    assert len(selectors) == text.count("{") - text.count("@media")
    templates = "".join(path.read_text(encoding="utf-8") for path in (REPORT / "templates").iterdir())
    templates += (REPORT / "report.js").read_text(encoding="utf-8") + (REPORT / "results.py").read_text()
    classes = set(re.findall(r"\.([a-z][\w-]*)", " ".join(selectors)))
    assert sorted(name for name in classes if not re.search(rf"\b{name}\b", templates)) == []
