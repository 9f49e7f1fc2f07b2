"""The words of a notice: from its facts to a mail and an SMS in four languages. Pure.

What a person has written stands between quotes, is cut, and loses what would make a link of it: nobody is led astray by
the name of a campaign or of whoever invites.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from channels.contract import Channel
from channels.sms import segments
from gateway.notices.notice import LANGUAGES, SUBJECTS, Fact, NoticeLanguage, NoticeSubject
from gateway.texts.clean_text import one_line
from gateway.texts.content import MailContent, SmsContent, TextContent
from gateway.texts.language import primary

LINK = "link"
MOST_SEGMENTS = 2
_MAIL_CHARACTERS = 300
_SMS_CHARACTERS = (120, 80, 50, 30, 20, 10)
"""How long a fact may be in an SMS, tried in this order until it fits."""
_MOST_LINK = 200
_PLACE = re.compile(r"\{([a-z_]+)\}")
_LINKS = re.compile(r"(?i)(?<=[a-z])://|\bwww\.")

Catalogue = Mapping[str, Mapping[str, str]]


class NoticeUnwritable(ValueError):
    """The facts of a notice are not those of its subject, or too long: a fault of whoever tells it."""


def language_of(tag: str) -> NoticeLanguage:
    """The language in which somebody is told; English where theirs is none of the four."""
    return next((known for known in LANGUAGES if known == primary(tag)), "en")


@cache
def catalogue(language: NoticeLanguage) -> Catalogue:
    """Table -> key -> template."""
    path = Path(__file__).with_name("catalogues") / f"{language}.toml"
    found: Catalogue = tomllib.loads(path.read_text(encoding="utf-8"))
    return found


def phrase(table: str, key: str, **facts: Fact) -> dict[str, str]:
    """A sentence of the catalogues in every language, as a fact; facts in it may be sentences themselves.

    Raises KeyError for one that there is not.
    """
    return {language: _phrase(language, table, key, facts) for language in LANGUAGES}


def _phrase(language: NoticeLanguage, table: str, key: str, facts: Mapping[str, Fact]) -> str:
    words = {name: fact if isinstance(fact, str) else fact[language] for name, fact in facts.items()}
    shown = {name: _shown(word, _MAIL_CHARACTERS) for name, word in words.items()}
    return _filled(catalogue(language)[table][key], shown)


def event(name: str, **facts: Fact) -> dict[str, str]:
    """What has happened to an account, as the fact `what` of a notice of security."""
    return phrase("events", name, **facts)


def over(what: Mapping[str, str]) -> dict[str, str]:
    """That what an alarm said is over."""
    return {
        language: _filled(catalogue(language)["alarms"]["over"], {"what": what[language]}) for language in LANGUAGES
    }


def write(
    subject: NoticeSubject,
    channel: Channel,
    language: NoticeLanguage,
    facts: Mapping[str, Fact],
    *,
    held_back: int = 0,
    help_lines: Sequence[str] = (),
) -> TextContent:
    """What is said on one channel. `held_back`: how much of the same subject was not told before. Raises
    NoticeUnwritable; of an SMS also where a link leaves no room within two segments."""
    _check(subject, facts)
    words = {key: fact if isinstance(fact, str) else fact[language] for key, fact in facts.items()}
    texts, more = catalogue(language)[subject], catalogue(language)["more"]
    if channel is Channel.EMAIL:
        return _mail(texts, more, words, held_back, help_lines)
    if channel is Channel.SMS:
        return _sms(texts, more, words, held_back)
    raise NoticeUnwritable(f"no notice is told by {channel}")


def coalesced(channel: Channel, language: NoticeLanguage, subject: NoticeSubject, held_back: int) -> TextContent:
    """What is said where nothing new has happened and something was not told."""
    more = catalogue(language)["more"]
    named = {"subject": more[f"subject_{subject.replace('-', '_')}"], "n": str(held_back)}
    text = _filled(more["held_back_alone"], named)
    if channel is Channel.EMAIL:
        return MailContent(subject=_filled(more["held_back_title"], named), paragraphs=(text, more["closing"]))
    return SmsContent(text=f"Tocsin: {text}")


def _check(subject: NoticeSubject, facts: Mapping[str, Fact]) -> None:
    wanted = SUBJECTS[subject].facts
    if facts.keys() != wanted:
        raise NoticeUnwritable(f"a notice of {subject} is told with {sorted(wanted)}, not with {sorted(facts)}")
    link = facts.get(LINK, "https://")
    is_link = isinstance(link, str) and len(link) <= _MOST_LINK and re.fullmatch(r"https?://[!-~]*", link)
    if not is_link:
        raise NoticeUnwritable(f"a link is http:// or https:// and at most {_MOST_LINK} characters of ASCII")


def _mail(
    texts: Mapping[str, str], more: Mapping[str, str], words: Mapping[str, str], held_back: int, helps: Sequence[str]
) -> MailContent:
    shown = {key: word if key == LINK else _shown(word, _MAIL_CHARACTERS) for key, word in words.items()}
    body = [_filled(paragraph, shown) for paragraph in texts["mail"].strip().split("\n\n")]
    if held_back:
        body.append(_filled(more["held_back"], {"n": str(held_back)}))
    if helps:
        body.append("\n".join([more["help"], *(one_line(line)[:_MAIL_CHARACTERS] for line in helps)]))
    return MailContent(subject=_filled(texts["title"], shown), paragraphs=(*body, more["closing"]))


def _sms(texts: Mapping[str, str], more: Mapping[str, str], words: Mapping[str, str], held_back: int) -> SmsContent:
    behind = " " + _filled(more["held_back_short"], {"n": str(held_back)}) if held_back else ""
    for most in _SMS_CHARACTERS:
        shown = {key: word if key == LINK else _shown(word, most) for key, word in words.items()}
        content = SmsContent(text=f"Tocsin: {_filled(texts['sms'], shown)}{behind}")
        if segments.prepare(content.text, mode=content.mode).units <= MOST_SEGMENTS:
            return content
    raise NoticeUnwritable("the link leaves no room for the words of an SMS")


def _shown(word: str, most: int) -> str:
    """On one line, cut, and no link."""
    text = _LINKS.sub(lambda found: "." if found[0] != "://" else ": ", one_line(word[: 4 * most]))
    return text if len(text) <= most else f"{text[: most - 3].rstrip()}..."


def _filled(template: str, words: Mapping[str, str]) -> str:
    """In one pass: braces in a word say nothing."""
    return _PLACE.sub(lambda found: words[found[1]], template)
