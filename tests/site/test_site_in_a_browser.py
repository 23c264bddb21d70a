"""The site in headless Chromium, opened from disk."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from required import missing
from site_boards import board, entries, made

from hepchallenge.board.site import Curve, Curves, Extras, export_site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    missing("chromium", "Debian's chromium is not installed")
if find_spec("playwright") is None:
    missing("chromium", "playwright is not installed")
from playwright import sync_api  # noqa: E402

ROWS = 130
CURVES = Curves(
    title="ROC",
    description="Signal against background efficiency.",
    x_label="background",
    y_label="signal",
    lines=(Curve(label="_a$b", x=(0.0, 0.2, 1.0), y=(0.0, 0.9, 1.0)),),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a revealed board with both parts."""
    folder = tmp_path_factory.mktemp("site")
    extras = Extras(summary="Find it.", curves=(CURVES,), log=lambda _: "epoch 1\nepoch 2")
    some = entries(ROWS)
    return export_site([board(*some, part="private"), board(*some)], folder, extras)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        # Chromium refuses its sandbox to root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


class Tab:
    """A page that notes what goes wrong and what it asks for."""

    def __init__(self, browser: Any, file: Path, address: str = "", **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("requestfailed", lambda request: self.wrong.append(request.url))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri() + address)
        if options.get("java_script_enabled", True):
            self.page.wait_for_selector("#view-submission h1" if address else "tbody a", timeout=60_000)

    def column(self, kind: str, limit: int = 200) -> list[str]:
        found: list[str] = self.page.locator(f"#table tbody .{kind}").all_inner_texts()
        return [text.strip() for text in found[:limit]]

    def width(self) -> int:
        wide: int = self.page.evaluate("document.documentElement.scrollWidth")
        return wide


@pytest.fixture
def tab(browser: Any, site: Path) -> Iterator[Tab]:
    opened = Tab(browser, site, viewport={"width": 1300, "height": 900})
    yield opened
    assert opened.wrong == []
    assert all(url.startswith((site.parent.as_uri(), "data:")) for url in opened.asked)
    opened.context.close()


def test_rows_come_by_rank_and_every_column_sorts_both_ways(tab: Tab) -> None:
    assert tab.column("kind-rank", 3) == ["1", "2", "3"]
    heads = tab.page.locator("#table thead button")
    for at in range(heads.count()):
        head = heads.nth(at).locator("xpath=..")
        heads.nth(at).click()
        once = head.get_attribute("aria-sort")
        heads.nth(at).click()
        assert {once, head.get_attribute("aria-sort")} == {"ascending", "descending"}
    tab.page.get_by_role("button", name=re.compile("^CPU")).click()
    at = [h.split("\n")[0] for h in tab.page.locator("#table thead th").all_inner_texts()].index("CPU") + 1
    seconds = [float(t) for t in tab.page.locator(f"#table tbody tr > :nth-child({at})").all_inner_texts()]
    assert seconds == sorted(seconds)
    assert len(seconds) == 100
    tab.page.get_by_role("button", name=re.compile("^CPU")).click()
    most = [float(t) for t in tab.page.locator(f"#table tbody tr > :nth-child({at})").all_inner_texts()]
    assert most == sorted(most, reverse=True)
    assert most[0] > seconds[-1]


@pytest.mark.parametrize("other", ["plain", "größer", "Ωmega"])
def test_names_are_sorted_as_readers_expect_with_numbers_by_value(
    browser: Any, tmp_path: Path, other: str
) -> None:
    rng = np.random.default_rng(7)
    signs = list("aAbBzZ019 _-.#(+^`~0")
    drawn = ["".join(rng.choice(signs, rng.integers(1, 7))) for _ in range(80)]
    names = [*drawn, "net 9", "net 10", "NET 010", "net_2", other]
    some = [made(number, name=name) for number, name in enumerate(names)]
    tab = Tab(browser, export_site([board(*some)], tmp_path))
    for sign in (1, -1):
        tab.page.get_by_role("button", name="Submission").click()
        disorder = tab.page.evaluate(
            """(sign) => {
                const { compare } = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
                const shown = [...document.querySelectorAll("#table tbody tr")].map((row) =>
                    [row.querySelector("a").textContent, Number(row.cells[0].textContent)]);
                // Equal names stay in the order of their ranks.
                const wrong = shown.filter(([name, rank], at) => {
                    const way = at > 0 ? sign * compare(shown[at - 1][0], name) : -1;
                    return way > 0 || (way === 0 && shown[at - 1][1] > rank);
                });
                return [shown.length, wrong];
            }""",
            sign,
        )
        assert disorder == [len(names), []]
    tab.context.close()


def test_rows_without_a_rank_stay_last_in_either_direction(tab: Tab) -> None:
    rank = tab.page.get_by_role("button", name="Rank", exact=True)
    rank.click()
    assert tab.column("kind-rank", 1) == [str(ROWS)]
    tab.page.get_by_role("button", name="Last").click()
    assert tab.column("kind-rank")[-3:] == ["–"] * 3


def test_the_filter_finds_names_teams_and_verdicts_and_says_how_many(tab: Tab) -> None:
    box = tab.page.get_by_role("searchbox", name="Filter by name, team or verdict")
    box.fill("DEEP")
    names = tab.column("kind-name")
    assert names
    assert all("deep" in name for name in names)
    status = tab.page.get_by_role("status")
    assert status.inner_text() == f"{len(names)} of {ROWS + 3} submissions"
    box.fill("wall limit")
    assert tab.column("kind-name") == ["too slow"]
    box.fill("")
    tab.page.get_by_role("combobox").select_option("runtime_error")
    assert tab.column("kind-name") == ["crash"]


def test_pages_are_turned(tab: Tab) -> None:
    pages = tab.page.get_by_role("navigation", name="Pages of the leaderboard")
    assert pages.get_by_role("button", name="Previous").is_disabled()
    pages.get_by_role("button", name="Next").click()
    assert tab.column("kind-rank", 1) == ["101"]
    assert len(tab.column("kind-rank")) == ROWS + 3 - 100
    assert "Page 2 of 2" in pages.inner_text()
    assert pages.get_by_role("button", name="Next").is_disabled()


def test_the_switch_shows_the_public_board_and_its_figures(tab: Tab) -> None:
    page = tab.page
    assert "private part" in page.locator("#caption").inner_text()
    private = tab.column("kind-name", 20)
    assert page.locator(".figures img:visible").count() == 3
    page.get_by_role("button", name="Public board").click()
    sync_api.expect(page.locator("#caption")).to_contain_text("public part")
    page.wait_for_selector("tbody a")
    assert page.get_by_role("button", name="Public board").get_attribute("aria-pressed") == "true"
    assert tab.column("kind-name", 20) != private
    heads = " ".join(page.locator("#table thead th").all_inner_texts())
    assert "private" not in heads
    assert "Moved" not in heads
    assert page.locator(".figures img:visible").first.get_attribute("src").endswith("public-time.svg")


def test_a_submission_has_a_page_with_an_address(tab: Tab, browser: Any, site: Path) -> None:
    page = tab.page
    page.get_by_role("link", name="boosted trees, weighted").click()
    page.wait_for_selector("#view-submission h1")
    assert page.evaluate("document.activeElement.textContent") == "boosted trees, weighted"
    text = page.locator("#view-submission").inner_text()
    for words in (
        "Gradient boosting with event weights",
        "Two models of 500 trees",
        "± test sample",
        "600.0 s",
    ):
        assert words in text
    assert "epoch 1\nepoch 2" in text
    assert "Statistically tied with “" in text
    links = page.locator(".links a").all()
    assert [link.get_attribute("href") for link in links] == ["https://example.org/paper?x=1"]
    assert set(links[0].get_attribute("rel").split()) >= {"nofollow", "noopener"}
    assert "javascript:alert(1)" in text
    page.get_by_role("link", name="← Leaderboard").click()
    page.wait_for_selector("#table:visible")
    again = Tab(browser, site, f"#/submission/{'00000000' * 8}")
    assert again.page.locator("#view-submission h1").inner_text() == "boosted trees, weighted"
    assert again.wrong == []
    missing = Tab(browser, site, "#/submission/ffff")
    assert "No submission on this board" in missing.page.locator("#view-submission").inner_text()


def test_script_and_server_write_the_same_table(browser: Any, site: Path) -> None:
    tables = []
    for scripted in (True, False):
        tab = Tab(browser, site, java_script_enabled=scripted)
        rows = tab.page.locator("#table tbody tr").all_inner_texts()
        heads = [text.replace("▴", "") for text in tab.page.locator("#table thead th").all_inner_texts()]
        tables.append([re.sub(r"\s+", " ", line).strip() for line in (*heads, *rows)])
        if not scripted:
            assert tab.page.locator("button:visible, input:visible").count() == 0
            assert "33 more rows" in tab.page.locator("#left-out").inner_text()
    assert tables[0] == tables[1]
    assert len(tables[0]) > 100


def test_dark_follows_the_system_and_the_switch_is_remembered(browser: Any, site: Path) -> None:
    def paper(page: Any) -> str:
        colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return colour

    light = Tab(browser, site, color_scheme="light")
    dark = Tab(browser, site, color_scheme="dark")
    assert paper(light.page) != paper(dark.page)
    switch = light.page.get_by_role("button", name="Dark")
    assert switch.get_attribute("aria-pressed") == "false"
    switch.click()
    assert switch.get_attribute("aria-pressed") == "true"
    assert paper(light.page) == paper(dark.page)
    light.page.reload()
    light.page.wait_for_selector("tbody a")
    assert paper(light.page) == paper(dark.page)


def test_blocked_storage_does_not_break_the_page(browser: Any, site: Path) -> None:
    context = browser.new_context()
    context.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('blocked'); } })"
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(site.as_uri())
    page.wait_for_selector("tbody a")
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert wrong == []


def test_a_phone_need_not_scroll_sideways(browser: Any, site: Path) -> None:
    for address in ("", f"#/submission/{'00000000' * 2}"):
        tab = Tab(browser, site, address, viewport={"width": 360, "height": 740})
        assert tab.width() == 360
        tab.context.close()


def test_the_keyboard_reaches_and_works_every_control(tab: Tab) -> None:
    page = tab.page
    wanted = page.evaluate(
        "[...document.querySelectorAll('button, input, select, summary, a[href]')]"
        ".filter((e) => e.checkVisibility() && !e.disabled && !e.closest('tbody')).length"
    )
    reached = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
                " return e === document.body || e.closest('tbody') ? '' : "
                " e.tagName + '|' + (e.id || e.textContent) + '|' + s.outlineStyle; })()"
            )
        )
        if page.evaluate("document.activeElement.dataset.turn") == "last":
            break
    controls = {one for one in reached if re.match("BUTTON|INPUT|SELECT|SUMMARY|A\\|", one)}
    assert len(controls) == wanted
    assert all(one.endswith("|solid") for one in controls), controls
    page.get_by_role("button", name="Rank", exact=True).focus()
    page.keyboard.press("Enter")
    # The head is made anew, and who sorts by keyboard stays where they are.
    assert page.evaluate("document.activeElement.dataset.sort") == "rank"
    assert tab.column("kind-rank", 1) == [str(ROWS)]
    page.locator("#choose summary").focus()
    page.keyboard.press("Enter")
    box = page.get_by_label("Memory")
    box.focus()
    page.keyboard.press("Space")
    assert page.get_by_role("button", name=re.compile("^Memory")).count() == 1
    page.keyboard.press("Escape")
    assert not page.locator("#choose").evaluate("e => e.open")


def test_everything_has_a_name_for_who_cannot_see_it(tab: Tab) -> None:
    page = tab.page
    for where in ("", f"#/submission/{'00000000' * 2}"):
        if where:
            page.evaluate(f"location.hash = '{where}'")
            page.wait_for_selector("#view-submission h1")
        tree = page.locator("body").aria_snapshot()
        roles = "button|link|searchbox|combobox|checkbox|img|meter|region"
        nameless = re.findall(rf"^\s*- (?:{roles})(?=:|\n|$)", tree, re.M)
        assert nameless == []
        levels = page.evaluate(
            "[...document.querySelectorAll('h1, h2, h3')]"
            ".filter((e) => e.checkVisibility()).map((e) => +e.tagName[1])"
        )
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert page.evaluate("document.documentElement.lang") == "en"
        scopes = page.evaluate("[...document.querySelectorAll('th')].map((e) => e.scope)")
        assert set(scopes) == {"col", "row"}
    assert page.evaluate("document.querySelector('#table caption').textContent.length") > 10


def test_contrast_of_text_is_enough_in_both_themes(browser: Any, site: Path) -> None:
    script = """() => {
      const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
      const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number);
        return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b); };
      const behind = (e) => { for (; e; e = e.parentElement) {
        const c = getComputedStyle(e).backgroundColor;
        if (!/, 0\\)$/.test(c)) return c; } return 'rgb(255,255,255)'; };
      const low = [];
      for (const e of document.querySelectorAll('body *')) {
        if (!e.checkVisibility() || e.disabled || e.closest(':disabled')) continue;
        if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
        const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
        if ((a + 0.05) / (b + 0.05) < 4.5)
          low.push(e.tagName + ' ' + e.className + ' ' + e.textContent.slice(0, 20));
      }
      return [...new Set(low)];
    }"""
    for scheme in ("light", "dark"):
        tab = Tab(browser, site, color_scheme=scheme)
        assert tab.page.evaluate(script) == []
        tab.context.close()


def test_print_has_all_rows_and_no_controls(tab: Tab) -> None:
    page = tab.page
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("#filter").is_hidden()
    assert page.locator("#pager").is_hidden()
    assert page.locator("#theme").is_hidden()
    assert page.locator("#table tbody tr:visible").count() == 100
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('.scroller')).overflowX") == "visible"


def test_hostile_names_are_shown_as_text(browser: Any, tmp_path: Path) -> None:
    names = [
        "<script>document.title = 'won'</script>",
        "<img src=x onerror=\"document.title='won'\">",
        "{{ 7 * 7 }}",
    ]
    some = [
        made(number, name=name, team=name, title=name, description=name) for number, name in enumerate(names)
    ]
    tab = Tab(browser, export_site([board(*some)], tmp_path))
    assert sorted(tab.column("kind-name")) == sorted(names)
    for number, name in enumerate(names):
        tab.page.evaluate(f"location.hash = '#/submission/{f'{number:08x}' * 2}'")
        sync_api.expect(tab.page.locator("#view-submission h1")).to_have_text(name)
    assert "won" not in tab.page.title()[:3]
    assert tab.wrong == []


def test_script_and_server_write_absurd_numbers_alike(browser: Any, tmp_path: Path) -> None:
    values = (1e308, -1e308, 1e15, 999999999999999.9, 0.0005, -0.0005, -0.0, 5e-324)
    page = export_site([board(*(made(number, ams=value) for number, value in enumerate(values)))], tmp_path)
    tables = []
    for scripted in (True, False):
        tab = Tab(browser, page, java_script_enabled=scripted)
        tables.append(tab.column("kind-score"))
        assert tab.wrong == []
    assert tables[0] == tables[1]
    assert any(text.startswith("\u22121.00000e+308") for text in tables[0])


def test_a_large_board_loads_in_pieces_and_stays_small_on_the_page(browser: Any, tmp_path: Path) -> None:
    one = made(1, folds=1)
    some = [
        type(one)(
            **{
                **vars(one),
                "submission": type(one.submission)(
                    **{**vars(one.submission), "name": f"entry {number}", "digest": f"{number:08x}" * 8}
                ),
            }
        )
        for number in range(9000)
    ]
    tab = Tab(browser, export_site([board(*some)], tmp_path))
    sync_api.expect(tab.page.locator("#count")).to_have_text("9000 submissions")
    assert sum("rows-public" in url for url in tab.asked) == 3
    assert not any("pages-public" in url for url in tab.asked)
    assert tab.page.locator("#table tbody tr").count() == 100
    tab.page.locator("#filter").fill("entry 8999")
    assert tab.column("kind-name") == ["entry 8999"]
    assert tab.wrong == []
