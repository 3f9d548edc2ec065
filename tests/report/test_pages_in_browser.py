"""The pages in headless Chromium: drawn, nothing asked of the network, nothing wider than a phone.

Skipped where Chromium is not installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from bequest.report import write_claim_report, write_report
from support.reports import example_report, write_run

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")


def browse(page: Path, *options: str) -> tuple[str, list[str]]:
    """Opens a page; what it printed, and what the console said."""
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        f"--user-data-dir={page.parent / 'profile'}",
        *options,
        page.as_uri(),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return ended.stdout, [line for line in ended.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(params=["run", "claim"])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "run":
        return write_report(write_run(tmp_path / "run"))
    return write_claim_report(example_report(), tmp_path)


def test_it_is_drawn_without_complaint(page: Path) -> None:
    picture = page.with_suffix(".png")
    _, said = browse(page, "--window-size=1000,1600", f"--screenshot={picture}")
    assert said == []
    with Image.open(picture) as image:
        colours = image.convert("RGB").getcolors(maxcolors=1 << 24) or []
    assert len(colours) > 100


def test_a_request_would_be_noticed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("</main>", '<img src="http://example.org/a.png" alt="a"></main>'))
    _, said = browse(page, "--dump-dom")
    assert any("example.org" in line for line in said)


def test_it_fits_a_phone(page: Path, tmp_path: Path) -> None:
    # A browser's window has a least width; a frame has none. The copy may run a script.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text("utf-8"))
    tell = "<script>parent.postMessage(document.documentElement.scrollWidth, '*')</script>"
    copy = tmp_path / "copy.html"
    copy.write_text(text.replace("</body>", f"{tell}</body>").replace("<details", "<details open"))
    frame = tmp_path / "frame.html"
    frame.write_text(
        "<script>onmessage = event => { document.title = event.data }</script>"
        f'<iframe src="{copy.as_uri()}" width="360" height="700" style="border: 0"></iframe>'
    )
    shown, _ = browse(frame, "--dump-dom", "--virtual-time-budget=3000")
    found = re.search(r"<title>(\d+)</title>", shown)
    assert found is not None
    assert int(found[1]) <= 360
