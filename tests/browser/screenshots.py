"""Pictures of every page of the front end, in both themes, on a desk and on a phone: ``./tidemark screenshots``.

    python -m tests.browser.screenshots FOLDER

It brings the whole pipeline up for itself, on free ports.
"""
# ruff: noqa: T201  a command line prints

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.integration.chromium import BINARY

SIZES = {"desk": (1440, 900), "phone": (390, 844)}


def main(folder: Path) -> int:
    """Take all pictures; return the exit code."""
    if not BINARY:
        print("error: Chromium is not installed: apt-get install chromium", file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    with _pipeline() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BINARY, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for size in SIZES:
                _visit(browser, url, folder, scheme, size)
        browser.close()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")
    return 0


@contextlib.contextmanager
def _pipeline() -> Iterator[str]:
    """Give the API's address, while everything is up."""
    command = [sys.executable, "-m", "pipeline", "up", "--api-port=0", "--kafka-port=0", "--mongo-port=0"]
    up = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert up.stdout is not None
    try:
        lines: list[str] = []
        for line in up.stdout:
            lines.append(line)
            found = re.search(r"(http://\S+)/demo", line)
            if found:
                yield found[1]
                return
        raise RuntimeError(f"the pipeline did not come up:\n{''.join(lines)}")
    finally:
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=60)


def _visit(browser: Browser, url: str, folder: Path, scheme: str, size: str) -> None:
    """One visitor's way through the shop, with a picture of each page."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()

    def picture(name: str) -> None:
        page.wait_for_timeout(500)
        page.screenshot(path=folder / f"demo-{name}-{scheme}-{size}.png")

    page.goto(f"{url}/demo")
    picture("shelf")
    page.goto(f"{url}/demo/lamp")
    page.get_by_role("button", name="Put into the basket").click()
    picture("product")
    page.goto(f"{url}/demo/basket")
    picture("basket")
    page.goto(f"{url}/demo/sign-up")
    picture("sign-up")
    page.get_by_label("Name").fill("Ada")
    page.get_by_role("button", name="Sign up").click()
    page.wait_for_url("**/welcome")
    picture("welcome")
    _open_list(page)
    page.get_by_role("button", name="Send 50 events").click()
    picture("list")
    context.set_offline(offline=True)
    page.get_by_role("button", name="Send 50 events").click()
    picture("offline")
    context.close()


def _open_list(page: Page) -> None:
    page.evaluate("document.getElementById('panel').open = true")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
