"""The report in Debian's Chromium: opened from disk, light and dark, on a telephone and on paper, by axe and keyboard.

With STENCILKIT_SCREENSHOTS=DIR, what it looks like is kept there, to be looked at.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from stencilkit.pipeline import reporting
from tests.results import matrix

# The width of a small telephone, and of a laptop.
SMALL, LARGE = 360, 1280


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "site"
    reporting.write(list(matrix()), out)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "make setup installs Debian's chromium"
    # Tests run as root in containers, where Chromium's own sandbox cannot be set up; the pages are ours.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which nothing goes wrong: no error, nothing in the console, nothing that is missing."""
    context = browser.new_context(viewport={"width": LARGE, "height": 900}, offline=True)
    opened, troubles = context.new_page(), list[str]()
    opened.on("console", lambda message: troubles.append(f"console: {message.text}"))
    opened.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    opened.on("requestfailed", lambda request: troubles.append(f"missing: {request.url}"))
    yield opened
    context.close()
    assert troubles == []


def pages(site: Path) -> dict[str, Path]:
    """One page of each kind: the start, a cell that is not qualified, a cell with notes, a stencil."""
    return {
        "index": site / "index.html",
        "cell": site / "cells" / "3.14.0-llvm-23.1.4-x86_64-unknown-linux-gnu-release.html",
        "notes": site / "cells" / "3.14.1-llvm-21.1.0-aarch64-apple-darwin-release.html",
        "stencil": min((site / "stencils").glob("_UOP_4_0-*.html")),
    }


def screenshot(page: Page, name: str) -> None:
    if folder := os.environ.get("STENCILKIT_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder, f"{name}.png")), full_page=True)


@pytest.mark.parametrize("width", [SMALL, LARGE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_page_fits_and_axe_finds_nothing(site: Path, page: Page, scheme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    for name, path in pages(site).items():
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        screenshot(page, f"{name}-{width}-{scheme}")
        # It takes a second: each width once, and each scheme once.
        if (width == SMALL) != (scheme == "dark"):
            continue
        found = Axe().run(page, options={"preload": False}).response["violations"]
        told = [f"{item['id']} ({item['impact']}): {item['nodes'][0]['html'][:200]}" for item in found]
        assert told == [], name


def test_a_cell_that_is_not_qualified_is_red_and_says_so(site: Path, page: Page) -> None:
    page.goto((site / "index.html").as_uri())
    link = page.locator(".heat:not(.brief) .no a").first
    assert "not qualified" in link.inner_text()
    assert page.locator(".heat:not(.brief) .no").count() == 2
    red, green, blue = (
        int(part)
        for part in page.locator(".heat:not(.brief) .no").first.evaluate(
            "node => getComputedStyle(node).backgroundColor.match(/[0-9]+/g)"
        )
    )
    assert red > 2 * max(green, blue)
    link.click()
    assert page.locator("h1").inner_text() == "CPython 3.14.0 with LLVM 23.1.4"
    assert "as the ledger says: a reason for failed" in page.locator(".banner").inner_text()


def test_it_can_be_used_without_a_mouse(site: Path, page: Page) -> None:
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.wait_for_url("**/index.html#main")
    for _ in range(100):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.heat:not(.brief) .no') !== null"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    page.keyboard.press("Enter")
    page.wait_for_url("**/cells/*.html")
    page.locator("a", has_text="_UOP_4_0").first.press("Enter")
    page.wait_for_url("**/stencils/*.html")


def test_a_screen_reader_gets_tables_with_their_heads(site: Path, page: Page) -> None:
    page.goto((site / "index.html").as_uri())
    for width in (SMALL, LARGE):
        page.set_viewport_size({"width": width, "height": 800})
        heat = page.get_by_role("table", name="CPython 3.14.0: verdicts by target and LLVM")
        assert heat.get_by_role("row").count() == 5
        assert heat.get_by_role("columnheader").all_inner_texts()[1:3] == ["LLVM 19.1.7", "LLVM 20.1.2"]
    page.goto(pages(site)["stencil"].as_uri())
    page.set_viewport_size({"width": LARGE, "height": 800})
    beside = page.get_by_role("table", name="Code, side by side")
    assert beside.get_by_role("columnheader").all_inner_texts() == ["LLVM 19.1.7", "LLVM 23.1.4"]


def test_paper_gets_all_of_it(site: Path, page: Page) -> None:
    page.emulate_media(media="print")
    for path in pages(site).values():
        page.goto(path.as_uri())
        assert not page.locator(".skip").is_visible()
        assert page.pdf(format="A4").startswith(b"%PDF")
        # Nothing hides behind a scroll bar.
        assert page.locator(".scroll").evaluate_all(
            "all => all.every(node => getComputedStyle(node).overflowX === 'visible')"
        )


def test_text_of_plots_can_be_selected(site: Path, page: Page) -> None:
    page.goto((site / "index.html").as_uri())
    assert "22.1.8" in page.locator("figure svg text").all_text_contents()
