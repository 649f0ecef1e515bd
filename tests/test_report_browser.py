"""The report in Chromium, on a screen of any width."""

import pytest

from report.page import report
from tests.browser import needs_chromium
from tests.report_subject import PLAY, subject_of

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(report(subject_of(PLAY * 40), seed=1, start_string="R").page.encode())
    return path


def test_a_tapped_character_is_framed_while_its_surprise_is_shown(browser, written):
    with browser.new_context(viewport={"width": 400, "height": 800}, has_touch=True) as context:
        page = context.new_page()
        page.goto(written.as_uri())
        characters = page.locator("#surprise .text i")
        for n in (3, 20):
            characters.nth(n).tap()
            assert page.inner_text("#tip") == characters.nth(n).get_attribute("title")
            assert page.eval_on_selector_all("i[title]", "all => all.findIndex((one) => one.matches('.here'))") == n
            assert page.locator("#surprise .here").count() == 1
        page.locator("h1").tap()
        assert page.is_hidden("#tip") and page.locator("#surprise .here").count() == 0


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_plots_fit_any_screen(browser, written, width):
    with browser.new_context(viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        page.goto(written.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        edges = page.eval_on_selector_all("svg", "all => all.map((one) => one.getBoundingClientRect().right)")
        assert edges and max(edges) <= width
