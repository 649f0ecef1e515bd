"""A person's walk through the playground in Chromium, without a server or a network, and without a complaint."""

import re
import time
from contextlib import contextmanager
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest

from charrnn.evaluation import LN2, evaluate
from charrnn.layers import GRU, Dense, Embedding
from charrnn.model_file import save_model
from charrnn.reading import surprise
from playground.layers import page_layers
from playground.twin import twin
from tests.browser import needs_chromium
from tests.playground_page import CHAINS, V, in_node, model_of, packed, trained
from tests.requirements_report import find_node
from tests.stage_project import printed_by, set_up
from tests.worker_jobs import GUARD

pytestmark = needs_chromium

HOSTILE = "".join(dict.fromkeys("</script>\"'<!-- \\\n\r\0\t&{%\u0301\u200d\u202e😀👩é"))
ARABIC = "\n سلاممرحباא"
USUAL = {"usual": "gru", "mogrifier": "stacked, mogrifier, folded"}  # pages and their chains, with the usual alphabet
DONE = "document.getElementById('write').textContent === 'Continue'"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The pages of some models, by name."""
    folder, pages = set_up(tmp_path_factory.mktemp("pages")), {}
    models = {name: trained(model_of(CHAINS[chain])) for name, chain in USUAL.items()}
    for name, vocabulary in {"hostile": HOSTILE, "arabic": "".join(dict.fromkeys(ARABIC))}.items():
        size = len(vocabulary)
        models[name] = trained(model_of([Embedding(size, 4), GRU(4, 9), Dense(9, size)]), vocabulary)
    for name, contents in models.items():
        save_model(folder / f"{name}.npz", contents)
        flags = ["--weights-path", f"{name}.npz", "--output", f"{name}.html", "--temperature", 0.9, "--seed", 1]
        printed_by(folder, "playground", *flags, "--start-string", contents.vectorizer.vocabulary[1:4])
        pages[name] = folder / f"{name}.html"
    return pages


@contextmanager
def opened(browser, path, fragment="", **options):
    """A page that must ask for nothing but itself, and leave nothing on the console."""
    with browser.new_context(**options) as context:
        page = context.new_page()
        page.set_default_timeout(1000 * GUARD)
        problems, requests = [], []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"{path.as_uri()}{fragment}")
        wait_until(page, DONE)
        yield page
        assert problems == []
        assert [url for url in requests if not url.startswith(("data:", path.as_uri()))] == []


def wait_until(page, condition):
    """Wait until a condition holds; Playwright's own way would need `eval`, which the page forbids."""
    deadline = time.monotonic() + GUARD
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(20)


def text_of(page):
    return page.input_value("#text")


def fields(page):
    """The settings in the address."""
    return {name: values[0] for name, values in parse_qs(page.evaluate("location.hash.slice(1)")).items()}


def settled(page):
    """Wait until the page has read everything and written its address."""
    wait_until(page, DONE)
    wait_until(page, "new URLSearchParams(location.hash.slice(1)).get('text') + '' === sample.beginning")
    wait_until(page, "!isScheduled")


def test_a_walk_through_the_page(browser, written):
    with opened(browser, written["usual"]) as page:
        assert text_of(page) == " !a"
        page.focus("#text")
        page.keyboard.type("bad")
        settled(page)
        assert text_of(page) == " !abad" and "6 characters, " in page.inner_text("#total")

        page.click("#write")  # until it is stopped
        wait_until(page, "document.getElementById('text').value.length > 30")
        assert page.inner_text("#write") == "Stop"
        page.click("#write")
        settled(page)
        stopped = text_of(page)
        assert stopped.startswith(" !abad")
        page.click("#one")
        settled(page)
        longer = text_of(page)
        assert len(longer) == len(stopped) + 1
        assert int(fields(page)["length"]) == len(longer) - 6
        link = page.evaluate("location.hash")

        page.click("#back")
        settled(page)
        assert text_of(page) == " !abad"
        page.click("#another")
        page.click("#another")
        page.click("#write")
        settled(page)
        assert fields(page)["seed"] == "3"

        page.click("#back")
        settled(page)
        name = page.inner_text("#candidates li:nth-child(2) .name")
        page.click("#candidates li:nth-child(2) button")
        settled(page)
        assert text_of(page) == " !abad" + {"␣": " ", "⏎": "\n"}.get(name, name)

        page.click("#back")
        page.focus("#text")
        page.keyboard.type("c")
        settled(page)
        assert text_of(page).endswith("c") and page.inner_text("#place").startswith("“c”")
        length = len(text_of(page))
        page.keyboard.press("Home")
        page.click("#one")
        settled(page)
        assert len(text_of(page)) == length + 1
        assert page.locator("#coloured .here").count() == 0  # the caret is at the end

    with opened(browser, written["usual"], link) as page:  # the link repeats the sample
        settled(page)
        assert text_of(page) == longer
        page.reload()
        wait_until(page, "sample.length > 0")
        settled(page)
        assert text_of(page) == longer


@pytest.mark.skipif(not find_node(), reason="needs Node.js, see the first lines of pytest's output")
@pytest.mark.parametrize("name", USUAL)
def test_a_sample_is_the_same_in_the_browser_and_in_node(browser, written, name):
    network = packed(page_layers(model_of(CHAINS[USUAL[name]]), "int8"), "int8")
    settings = {"temperature": 1.1, "topK": 9, "topP": 0.95}
    (text,) = in_node(
        {"job": "sample", "network": network, "start": "abc", "length": 500, "settings": settings, "seed": 5}
    )
    link = urlencode({"text": "abc", "length": 500, "temperature": 1.1, "top_k": 9, "top_p": 0.95, "seed": 5})
    with opened(browser, written[name], f"#{link}") as page:
        wait_until(page, "sample.length === 500")
        assert text_of(page) == "abc" + text


def test_losses_and_colours_are_those_of_numpy(browser, written, rng):
    in_numpy, vectorizer = twin(page_layers(model_of(CHAINS["gru"]), "int8")), trained(None).vectorizer
    text = vectorizer.decode(rng.integers(0, V, 4000))
    with opened(browser, written["usual"]) as page:
        page.fill("#text", text)
        wait_until(page, "reading.length === 4000 && !isScheduled")
        loss = page.evaluate("reading.total() / (reading.length - 1)") * LN2
        assert loss == pytest.approx(evaluate(in_numpy, vectorizer.encode(text))["loss"], abs=1e-5)
        assert page.inner_text("#total") == f"4,000 characters, {loss / LN2:.2f} bits each"
        pieces = page.evaluate("[...document.querySelectorAll('#coloured i')].map((i) => [i.className, i.textContent])")
    bits, _ = surprise(in_numpy, vectorizer.encode(text))
    styles = [style for style, piece in pieces for _ in piece]
    assert "".join(piece for _, piece in pieces) == text and styles[0] == ""
    near = np.abs(bits - np.rint(bits)) < 1e-3  # may fall on either side
    levels = np.minimum(np.floor(np.nan_to_num(bits)), 8).astype(int)
    assert all(style == f"s{level}" for style, level, skip in zip(styles[1:], levels[1:], near[1:]) if not skip)


def test_the_candidates_and_the_state_are_those_at_the_caret(browser, written):
    in_numpy, vectorizer = twin(page_layers(model_of(CHAINS["gru"]), "int8")), trained(None).vectorizer
    with opened(browser, written["usual"]) as page:
        page.fill("#text", "abcdef")
        page.evaluate("text.area.setSelectionRange(3, 3)")
        settled(page)
        wait_until(page, "document.getElementById('place').textContent.startsWith('“c”')")
        bits, context = surprise(in_numpy, vectorizer.encode("abc"))
        order = np.argsort(-context.probabilities(), kind="stable")[:10]
        names = page.eval_on_selector_all("#candidates button", "all => all.map(one => network.characters[one.value])")
        assert names == [vectorizer.vocabulary[id] for id in order]
        assert f"{bits[2]:.1f} bits" in page.inner_text("#place")
        state = page.evaluate("Array.from(reading.state(3))")
        np.testing.assert_allclose(state, context.state[1]["h"][0], atol=1e-5)
        assert page.inner_text("#coloured .here") == "c"


def test_the_caret_stays_behind_what_is_inserted_and_written(browser, written):
    with opened(browser, written["usual"]) as page:
        page.fill("#text", "abcdef")
        page.evaluate("text.area.setSelectionRange(3, 3)")
        wait_until(page, "document.getElementById('place').textContent.startsWith('“c”')")
        inserted = ""
        for _ in range(2):
            inserted += page.evaluate(
                "shown.get(network.characters[document.querySelector('#candidates button').value])"
            )
            page.click("#candidates li:first-child button")
            settled(page)
        assert text_of(page) == f"abc{inserted}def" and page.evaluate("text.end") == 5

        page.focus("#text")
        page.keyboard.press("Control+Home")
        page.keyboard.press("Control+Enter")
        wait_until(page, "sample.length > 3")
        page.keyboard.press("Escape")
        settled(page)
        before = text_of(page)
        page.keyboard.type("k")
        settled(page)
        assert text_of(page) == f"{before}k"


def test_a_unit_or_a_probe_colours_the_text(browser, project):
    printed_by(project, "playground")
    with opened(browser, project / "models/playground.html") as page:
        page.fill("#text", "abc déf€\nabc déf€\n")
        page.select_option("#colour", "probe-0")
        page.wait_for_selector("#coloured i.p1, #coloured i.n1")
        assert "The best single unit is " in page.inner_text("#legend")
        page.click("#legend button")
        assert page.input_value("#colour") == "unit" and page.is_visible("#unit")
        page.fill("#unit", "99")
        assert page.input_value("#unit") == "8"  # the last one
        assert page.inner_text("#legend").endswith("unit 8, after each character")
        box = page.locator("#strip").bounding_box()
        page.mouse.click(box["x"] + 2 * 20 + 5, box["y"] + 5)
        wait_until(page, "document.getElementById('unit').value === '3'")
        state = page.evaluate(
            "reading.length && Array.from({length: reading.length}, (_, n) => reading.state(n + 1)[2])"
        )
        styles = page.evaluate("Array.from(reading.bits, (_, n) => colouring.style(n))")
        levels = [int(np.floor(3 * value + 0.5)) for value in state]
        assert styles == [f"{'n' if level < 0 else 'p'}{abs(level)}" if level else "" for level in levels]
        page.select_option("#colour", "nothing")
        settled(page)
        assert fields(page)["colour"] == "nothing" and page.inner_text("#legend") == ""


def test_unknown_characters_are_named_and_left_out(browser, written):
    with opened(browser, written["usual"]) as page:
        page.fill("#text", "abZcZ…")
        settled(page)
        assert page.inner_text("#unknown") == "The network does not know “Z” (2 times), “…”; it skips them."
        assert page.inner_text("#total").startswith("3 characters, ")
        page.fill("#text", "Z")
        page.click("#write")
        settled(page)
        assert text_of(page) == "Z" and "at least one character" in page.inner_text("#notice")
        page.fill("#text", "a")
        settled(page)
        assert page.inner_text("#unknown") == ""


@pytest.mark.parametrize("name", ["hostile", "arabic"])
def test_any_alphabet(browser, written, name):
    with opened(browser, written[name]) as page:
        page.select_option("#pace", "Infinity")
        page.click("#write")
        wait_until(page, "sample.length > 300")
        page.click("#write")
        settled(page)
        text, link = text_of(page), page.evaluate("location.hash")
        assert page.inner_text("#unknown") == ""
        assert page.evaluate("reading.ids.length") == 3 + page.evaluate("sample.length")
        assert page.evaluate("document.getElementById('coloured').textContent === text.value")
        lines = page.eval_on_selector_all("#coloured > div", "all => all.map(one => one.textContent)")
        assert lines == re.split(r"(?<=\n)", text)  # each in a block of its own, see `drawLines`
        if name == "hostile":
            assert {"␍", "😀", "<"} <= set(text)
    with opened(browser, written[name], link) as page:
        wait_until(page, "sample.length > 300")
        settled(page)
        assert text_of(page) == text


def test_a_change_of_settings_makes_the_text_the_next_beginning(browser, written):
    with opened(browser, written["usual"], "#text=abc&length=40") as page:
        wait_until(page, "sample.length === 40")
        settled(page)
        text = text_of(page)
        page.evaluate("document.getElementById('temperature').value = 0; "
                      "document.getElementById('temperature').dispatchEvent(new Event('input'))")  # fmt: skip
        settled(page)
        assert (fields(page)["text"], fields(page)["length"], fields(page)["temperature"]) == (text, "0", "0")
        assert page.inner_text("#temperature-value") == "0.00"
        shares = page.eval_on_selector_all("#candidates .share", "all => all.map(one => one.textContent)")
        assert shares[0] == "100%" and set(shares[1:]) == {"0%"}


@pytest.mark.parametrize(
    "fragment", ["#temperature=x&top_k=-3&seed=1e99&unit=no&colour=red&length=-1", "#%", "#text=%ED"]
)
def test_a_damaged_address_does_no_harm(browser, written, fragment):
    with opened(browser, written["usual"], fragment) as page:
        settled(page)
        assert page.input_value("#colour") == "surprise" and page.input_value("#top_k") == "0"
        page.click("#one")
        settled(page)


def test_a_link_from_another_model_says_so(browser, written):
    with opened(browser, written["usual"], "#text=abc&length=5&model=00000000") as page:
        wait_until(page, "sample.length === 5")
        assert page.inner_text("#notice") == "This link was made with another model, so the sample differs."


def test_a_text_that_is_too_long_for_a_link_says_so(browser, written):
    with opened(browser, written["usual"]) as page:
        page.fill("#text", "abc" * 2000)
        wait_until(page, "reading.length === 6000 && !isScheduled")
        page.click("#link")
        assert page.inner_text("#notice") == "The beginning has more than 4,000 characters, too many for a link."
        assert page.evaluate("location.hash") == ""


def test_the_notice_of_a_copied_link_goes_away_with_what_it_is_about(browser, written):
    with opened(browser, written["usual"]) as page:
        page.click("#write")
        wait_until(page, "sample.length > 3")
        changes = [
            lambda: page.select_option("#colour", "unit"),
            lambda: page.fill("#unit", "2"),
            lambda: page.fill("#seed", "5"),
            lambda: page.fill("#text", "abc"),
            lambda: page.click("#one"),
            lambda: page.fill("#text", ""),
        ]
        for change in changes:
            page.click("#link")
            wait_until(page, "element('notice').textContent.endsWith(' repeats this sample exactly.')")
            settled(page)  # also the first time, when it was writing
            assert page.inner_text("#notice") != ""
            change()
            settled(page)
            assert page.inner_text("#notice") == ""


def test_the_bars_do_not_lag_behind_the_percentages(browser, written):
    with opened(browser, written["usual"]) as page:
        assert page.eval_on_selector(".drawn", "one => getComputedStyle(one).transitionDuration") == "0s"


def test_the_keyboard_reaches_everything_that_has_a_name(browser, written):
    with opened(browser, written["usual"]) as page:
        page.focus("#text")
        page.keyboard.press("Control+Enter")
        wait_until(page, "sample.length > 3")
        page.keyboard.press("Escape")
        settled(page)
        reached = []
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement?.closest('[id]')?.id"))
        ids = {"write", "one", "back", "another", "link", "colour", "temperature", "top_p", "top_k", "seed", "pace"}
        assert ids <= set(reached) and "candidates" in reached
        unnamed = page.evaluate("""[...document.querySelectorAll("button, input, select, textarea, canvas")].filter(
            (one) => !(one.labels?.length || one.getAttribute("aria-label") || one.textContent)).length""")
        assert unnamed == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_any_screen_and_the_text_lies_on_its_colours(browser, written, width, scheme):
    viewport = {"width": width, "height": 800}
    with opened(browser, written["usual"], "#text=abc&length=600", viewport=viewport, color_scheme=scheme) as page:
        wait_until(page, "sample.length === 600")
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        sizes = page.evaluate("""["coloured", "text"].map((id) => {
            const {x, y, width, height} = element(id).getBoundingClientRect(); return [x, y, width, height]})""")
        assert sizes[0] == sizes[1]
        assert page.evaluate("text.area.scrollHeight <= text.area.clientHeight")
        ink, paper = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        lightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
        assert (lightness[0] < lightness[1]) is (scheme == "light")
