"""The pages for people: a frame in the visitor's language without a script of its own, files that are kept for ever,
texts that are there in every language."""

import gzip
import re

import pytest

from gateway.access.break_glass_code import sheet
from gateway.http.console_files import LANGUAGES, ConsoleFiles, load_console
from tests.gateway.http.authenticator import with_passkey
from tests.gateway.http.doorway import Doorway

PAGES = {"/sign-in": "sign_in.js", "/invitation": "invitation.js", "/reset": "reset.js", "/account": "account.js"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_KEY = re.compile(r'"([a-z-]+\.[a-z-]+)"')
_MOST_MODULES, _MOST_BYTES = 10, 30_000
"""That one page may fetch; bytes as compressed."""


@pytest.fixture(scope="module")
def console() -> ConsoleFiles:
    return load_console()


def modules(console: ConsoleFiles) -> dict[str, str]:
    return {name: one.content.decode() for name, one in console.files.items() if name.endswith(".js")}


# ---- the frame -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_has_no_script_or_style_of_its_own_and_a_policy_that_allows_none(door: Doorway, path: str):
    page = await door.get(path)
    text = page.body.decode()

    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"] == POLICY
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert page.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert re.search(r"<style|<script>| style=| on[a-z]+=|https?:|<form", text) is None
    for address in re.findall(r'(?:src|href)="(/[^"]+)"', text):
        assert (await door.get(address)).status == 200, address


@pytest.mark.parametrize("path", PAGES)
async def test_a_browser_is_told_of_every_module_at_once_and_they_are_few(
    door: Doorway, console: ConsoleFiles, path: str
):
    text = (await door.get(path)).body.decode()
    closure = console.closure(PAGES[path])

    told = set(re.findall(r'<link rel="modulepreload" href="/console/[0-9a-f]{16}/([^"]+)">', text))
    assert told == set(closure)
    assert len(closure) <= _MOST_MODULES
    fetched = [*closure, "console.css", "fr.json"]
    assert sum(len(gzip.compress(console.files[name].content)) for name in fetched) < _MOST_BYTES


async def test_a_page_speaks_the_language_that_was_chosen_else_the_one_that_the_browser_asks_for(door: Doorway):
    asked = await door.get("/sign-in", headers={"Accept-Language": "de-BE, fr;q=0.5"})
    chosen = await door.get("/sign-in?lang=nl", headers={"Accept-Language": "de"})
    other = await door.get("/sign-in", headers={"Accept-Language": "es"})
    unknown = await door.get("/sign-in?lang=es")

    assert [page.headers["Content-Language"] for page in (asked, chosen, other)] == ["de", "nl", "en"]
    assert all(page.headers["Vary"] == "Accept-Language, Cookie" for page in (asked, chosen, other))
    assert '<html lang="nl"' in chosen.body.decode()
    assert "<title>Aanmelden · Tocsin</title>" in chosen.body.decode()
    assert 'data-language="nl" aria-current="true"' in chosen.body.decode()
    assert (unknown.status, unknown.json["code"]) == (400, "bad-parameter")


async def test_a_page_says_whether_there_is_a_cookie_and_nothing_of_whose(door: Doorway):
    browser, _ = await with_passkey(door, "a")
    stranger = (await door.get("/account")).body.decode()
    made_up = (await door.get("/account", headers={"Cookie": "tocsin=made-up"})).body.decode()
    own = (await browser.get("/account")).body.decode()

    assert stranger != own
    assert own == made_up
    assert own.replace(" data-cookie", "") == stranger


async def test_what_stands_in_the_address_is_not_written_into_the_page(door: Doorway):
    plain = await door.get("/sign-in?lang=en")
    page = await door.get("/sign-in?lang=en&to=%22%3E%3Cscript%20src=//elsewhere.example%3E")

    assert page.body == plain.body


# ---- files ---------------------------------------------------------------------------------------------------------


async def test_a_file_is_kept_for_ever_and_is_not_sent_again_to_who_has_it(door: Doorway, console: ConsoleFiles):
    for name, asset in console.files.items():
        first = await door.get(console.path(name))
        again = await door.get(console.path(name), headers={"If-None-Match": first.headers["ETag"]})

        assert (first.status, again.status, again.body) == (200, 304, b"")
        assert first.body == asset.content
        assert first.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert first.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "path", ["/console/0123456789abcdef/dom.js", "/console/{version}/console.py", "/console/{version}/..",
             "/console/{version}/%2e%2e%2fdoor.py", "/console/{version}/texts"]
)  # fmt: skip
async def test_what_is_not_in_the_table_is_not_there_and_that_is_not_kept(
    door: Doorway, console: ConsoleFiles, path: str
):
    answer = await door.get(path.format(version=console.version))

    assert answer.status == 404
    assert answer.headers["Cache-Control"] == "no-store"


def test_modules_make_elements_and_keep_nothing_in_the_browser(console: ConsoleFiles):
    never = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|localStorage|sessionStorage|"
        r"indexedDB|document\.cookie|https?://(?!www\.w3\.org/2000/svg)"
    )

    assert {name: never.findall(text) for name, text in modules(console).items() if never.search(text)} == {}


# ---- texts ---------------------------------------------------------------------------------------------------------


def test_every_text_is_there_in_every_language_with_the_same_facts(console: ConsoleFiles):
    english = console.texts["en"]
    for language in LANGUAGES:
        texts = console.texts[language]
        assert list(texts) == list(english), language
        assert all(text.strip() for text in texts.values())
        for key, text in texts.items():
            assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", english[key])), (language, key)


def test_every_text_that_a_page_says_is_there_and_every_text_is_said(console: ConsoleFiles):
    said = {key for text in modules(console).values() for key in _KEY.findall(text) if not key.endswith(".js")}

    assert said | {"frame.script", "frame.loading"} == set(console.texts["en"])


@pytest.mark.parametrize(
    ("language", "called"), [("nl", "Nederlands"), ("fr", "Français"), ("de", "Deutsch"), ("en", "English")]
)
def test_the_page_speaks_of_a_paper_code_as_the_sheet_does(console: ConsoleFiles, language: str, called: str):
    texts = console.texts[language]
    printed = sheet("5301", "7K3M-0000-0000-0000-0000-0000", "2026-11-28", "https://alert.example")
    said = " ".join(printed.split(f"{called}:")[1].split("\n\n")[0].split())

    assert said.startswith(f"{texts['paper.title']}. {texts['paper.when']} ")
    assert said.endswith(" ".join(texts[key] for key in ("paper.hour", "paper.told", "paper.once")))
    assert texts["paper.title"].lower() in texts["paper.link"].lower()
    assert texts["paper.title"].lower() in said.partition("https://alert.example/sign-in")[2].lower()
    recovery = {text.lower() for key, text in texts.items() if key.startswith(("recovery.", "codes."))}
    assert not any(texts["paper.title"].lower() in text for text in recovery)


# ---- what is seen --------------------------------------------------------------------------------------------------

WORDS = ("text", "quiet", "accent", "accent-over", "fault", "good")
PAIRS = [(word, ground) for word in WORDS for ground in ("page", "card")]
PAIRS += [("on-accent", "accent"), ("on-accent", "accent-over"), ("fault", "fault-page"), ("on-alarm", "alarm")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_written_stands_out_from_what_it_stands_on(console: ConsoleFiles, scheme: str):
    """WCAG 2.2, 1.4.3: 4.5 to 1 for words; 1.4.11: 3 to 1 for the edges of fields."""
    style = console.files["console.css"].content.decode()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = {
        name: value
        for block in (blocks[:1] if scheme == "light" else blocks[:2])
        for name, value in re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", block)
    }

    assert {pair: _contrast(colours, *pair) for pair in PAIRS if _contrast(colours, *pair) < 4.5} == {}
    assert _contrast(colours, "edge", "card") >= 3
    assert _contrast(colours, "edge", "page") >= 3


def _contrast(colours: dict[str, str], one: str, other: str) -> float:
    bright, dark = sorted((_luminance(colours[one]), _luminance(colours[other])), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
