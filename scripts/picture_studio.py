"""Take pictures of the studio: desktop and phone, light and dark."""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[1]
WIDTHS = {"desktop": 1280, "phone": 390}
THEMES = ("light", "dark")
MAX_HEIGHT = 2400
MAX_BYTES = 400_000
START_S, WAIT_MS = 120.0, 120_000
SETTLE_MS = 800


def main() -> None:
    """Write the pictures, and tell how large each is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="Folder for the pictures.")
    parser.add_argument("--emotion", default="nostalgia", help="A named emotion.")
    parser.add_argument("--browser", help="Chromium; the first one found unless said.")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    with studio() as address, sync_playwright() as driver:
        path = options.browser or shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for device, width in WIDTHS.items():
            for theme in THEMES:
                picture = options.out / f"studio-{device}-{theme}.png"
                take(browser, f"{address}?__theme={theme}", picture, options.emotion, width)
        browser.close()


@contextmanager
def studio() -> Iterator[str]:
    """Open the studio on a free port; give its address once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        own = {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
        environment = {**os.environ, **own, "TMPDIR": folder}
        command = [sys.executable, "app.py", "--no-browser"]
        server = subprocess.Popen(command, cwd=ROOT, env=environment)
        try:
            yield _answering(f"http://127.0.0.1:{port}/", server)
        finally:
            server.terminate()
            server.wait(30)


def _answering(address: str, server: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return address
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the studio did not open")


def take(browser: Any, address: str, path: Path, emotion: str, width: int) -> None:
    """Compose for an emotion, and take a picture from the top of the page down."""
    size = {"width": width, "height": 900}
    page = browser.new_page(viewport=size, device_scale_factor=1, reduced_motion="reduce")
    page.set_default_timeout(WAIT_MS)
    page.goto(address)
    search = page.get_by_label("Find an emotion by name")
    search.fill(emotion)
    page.get_by_role("option", name=emotion, exact=True).first.click()
    page.click("#compose")
    page.wait_for_selector("#get-zip:not([disabled])")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.mouse.move(0, 0)
    height = min(page.evaluate("document.documentElement.scrollHeight"), MAX_HEIGHT)
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(SETTLE_MS)
    _write_small(page.screenshot(), path)
    page.close()
    n_bytes = path.stat().st_size
    print(f"{path}: {width} × {height}, {n_bytes // 1000} KB")
    if n_bytes > MAX_BYTES:
        raise SystemExit(f"{path} is over {MAX_BYTES // 1000} KB")


def _write_small(png: bytes, path: Path) -> None:
    """Write a picture with a palette: a quarter of the size, and no colour is missed."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    few = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
