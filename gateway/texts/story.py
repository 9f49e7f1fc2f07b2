"""One language of a message before it is written for a channel, and the three ways to write it. Pure."""

from collections.abc import Callable, Sequence

import msgspec

from channels.sms.segments import MAX_SEGMENTS, TextRefused, prepare
from channels.sms.transliteration import LetterMode
from channels.voice import script
from gateway.texts.clean_text import closed, one_line, paragraphs, says_something
from gateway.texts.content import MailContent, SmsContent, SpeechContent, TextsRefused
from gateway.texts.labels import labels
from gateway.texts.shorten import ends_a_sentence, shorten

_LARGEST_SEGMENT = 160
_MOST_SPOKEN_CHARACTERS = 2_000  # more than a minute of any language
_LONGEST_SENDER = 80  # characters of a name that is said before the message: it must leave time for it
_NOWHERE = " (...)"
_MOST_SHORT_CHARACTERS = 4_000
"""Of one text of a passage, in an SMS or a call: neither could hold more, and looking takes time."""
_MOST_NAME_CHARACTERS = 500
"""Of what names a sender, a place on the web, a contact, an area or the subject."""
MOST_MAIL_CHARACTERS = 20_000
"""Of a mail: ten pages. Whoever writes more says where the rest is."""


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """What zone and kind decide about texts."""

    sms_segment_ceiling: int = 3
    sms_mode: LetterMode = LetterMode.GSM
    sender_name: str = ""
    """Who speaks where the message does not say so."""
    default_language: str = "nl"
    """Of words that come without a language: the note of a Cancel."""
    urgent: bool = False
    menu: bool = True
    """Whether calls ask for a key."""


class Passage(msgspec.Struct, frozen=True):
    """One stretch of text about one set of places. All as the sender wrote it."""

    headline: str
    texts: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """As the sender wrote it, whatever its length: how much of it is told is for the channels below."""

    language: str
    passages: tuple[Passage, ...]
    """The first one is the message; the others add to it."""
    label: str = ""
    """"OEFENING", "Update": what kind of message it is."""
    web: str = ""
    contact: str = ""
    sender: str = ""
    identifier: str = ""


def sms(story: Story, style: Style) -> SmsContent:
    """All in one line, within the ceiling; cut, it says where the rest is. Raises TextsRefused."""

    def fits(text: str) -> bool:
        return segments(text, style.sms_mode) <= style.sms_segment_ceiling

    def whole(beginning: str, pointer: str) -> str:
        return f"{beginning}{'' if ends_a_sentence(beginning) else '...'}{pointer}"

    text = _flat(_named(story))
    if fits(text):
        return SmsContent(text=text, mode=style.sms_mode)
    # No segment holds more characters than this, so what lies behind could never be kept.
    text = text[: _LARGEST_SEGMENT * style.sms_segment_ceiling + 1]
    kept, pointer = _kept(text, _pointers(story), whole, fits)
    if not kept:
        raise TextsRefused(f"Nothing of the text in {story.language} fits into an SMS.")
    return SmsContent(text=whole(kept, pointer), mode=style.sms_mode, cut=True)


def mail(story: Story, style: Style) -> MailContent:
    """Everything that there is to say."""
    words = labels(story.language)
    story = _named(story)
    blocks = _blocks(story, words.where)
    blocks += [f"{words.more}: {one_line(story.web)}"] if story.web else []
    blocks += [f"{words.contact}: {one_line(story.contact)}"] if story.contact else []
    blocks += [one_line(story.sender or style.sender_name)] if story.sender or style.sender_name else []
    return MailContent(
        subject=_labelled(story, one_line(story.passages[0].headline[:_MOST_NAME_CHARACTERS])),
        paragraphs=tuple(blocks),
        urgent=style.urgent,
        cap_identifier=story.identifier,
    )


def speech(story: Story, style: Style) -> SpeechContent:
    """Who calls, and as much as can be said so that the whole call stays within a minute. Raises TextsRefused."""
    opening, menu = frame(story.language, story.sender or style.sender_name, style)

    def fits(body: str) -> bool:
        try:
            call = script.prepare(story.language, body, opening=opening, menu=menu)
        except script.SpeechRefused:
            return False
        return call.seconds <= script.MAX_BODY_S

    def whole(beginning: str, pointer: str) -> str:
        return closed(beginning) + ("" if pointer == _NOWHERE else closed(pointer))

    text = _flat(_named(story))
    if fits(text):
        return SpeechContent(body=text, opening=opening, menu=menu)
    text = text[:_MOST_SPOKEN_CHARACTERS]
    kept, pointer = _kept(text, _pointers(story), whole, fits)
    if not kept:
        raise TextsRefused(f"The text in {story.language} holds nothing that can be said within a minute.")
    return SpeechContent(body=whole(kept, pointer), opening=opening, menu=menu, cut=True)


def frame(language: str, sender: str, style: Style) -> tuple[str, str]:
    """What stands around the words of a call: who speaks, and the keys that the telephone listens to."""
    words = labels(language)
    sender = shorten(one_line(sender[:_MOST_NAME_CHARACTERS]), lambda name: len(name) <= _LONGEST_SENDER)
    return closed(words.opening.format(sender=sender)) if sender else "", closed(words.menu) if style.menu else ""


def segments(text: str, mode: LetterMode) -> int:
    """Of this text as SMS; more than any message can have where it cannot be one."""
    try:
        return prepare(text, mode=mode).units
    except TextRefused:
        return MAX_SEGMENTS + 1


def _kept(
    text: str, pointers: Sequence[str], whole: Callable[[str, str], str], fits: Callable[[str], bool]
) -> tuple[str, str]:
    """The longest beginning that fits together with a pointer, and that pointer; ("", "") when nothing does.

    A pointer that leaves less room for the text than it takes up itself gives way to the next one.
    """
    for pointer in pointers:
        kept = _beginning(text, pointer, whole, fits)
        if kept and (pointer == _NOWHERE or len(kept) >= len(pointer)):
            return kept, pointer
    return "", ""


def _beginning(text: str, pointer: str, whole: Callable[[str, str], str], fits: Callable[[str], bool]) -> str:
    return shorten(text, lambda beginning: fits(whole(beginning, pointer)))


def _pointers(story: Story) -> list[str]:
    """Where the rest is, the best place first; the last one says only that there is a rest."""
    more = labels(story.language).more
    places = [one_line(place) for place in (story.web, story.contact) if place]
    return [f" {more}: {place}" for place in places] + [_NOWHERE]


def _named(story: Story) -> Story:
    """With names of a length that a reader takes for one."""
    short = {name: getattr(story, name)[:_MOST_NAME_CHARACTERS] for name in ("web", "contact", "sender")}
    return msgspec.structs.replace(story, **short)


def _blocks(story: Story, where: str) -> list[str]:
    """The paragraphs of a mail, each once, until there is no room for more."""
    blocks: dict[str, None] = {}
    room = MOST_MAIL_CHARACTERS
    for passage in story.passages:
        for text in (passage.headline, *passage.texts):
            found = paragraphs(text[: room + 1])
            blocks |= dict.fromkeys(found)
            room -= len(text)
            if room < 0:
                return [*blocks, _NOWHERE.strip()]
        if passage.areas:
            areas = "; ".join(one_line(area[:_MOST_NAME_CHARACTERS]) for area in passage.areas)[:room]
            blocks[f"{where}: {areas}"] = None
            room -= len(areas)
    return list(blocks)


def _flat(story: Story) -> str:
    said: list[str] = []
    for passage in story.passages:
        for text in (passage.headline, *passage.texts):
            line = closed(one_line(text[:_MOST_SHORT_CHARACTERS]))
            if line and line not in said:
                said.append(line)
    if not any(map(says_something, said)):
        raise TextsRefused(f"The text in {story.language} says nothing.")
    return _labelled(story, " ".join(said))


def _labelled(story: Story, text: str) -> str:
    return f"{story.label}: {text}" if story.label else text
