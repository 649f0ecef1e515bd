"""Chromium, in which tests open the pages."""

import pytest

from tests.requirements_report import find_chromium, is_installed

needs_chromium = pytest.mark.skipif(
    not (find_chromium() and is_installed("playwright")),
    reason="needs Chromium, see the first lines of pytest's output",
)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()
