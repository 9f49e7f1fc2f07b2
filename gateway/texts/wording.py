"""What is to be told, before a channel and a zone's style make a text of it; and the making. Knows no CAP. Pure."""

from collections.abc import Callable, Collection, Sequence
from enum import StrEnum

import msgspec

from channels.contract import Channel
from channels.voice import script
from gateway.texts import story as writing
from gateway.texts.clean_text import one_line, paragraphs, says_something
from gateway.texts.content import MailContent, SmsContent, SpeechContent, TextContent, Texts, TextsRefused
from gateway.texts.labels import labels
from gateway.texts.language import primary
from gateway.texts.story import Passage, Story, Style

_LONG = 6_000
"""Characters in all languages: some milliseconds of work."""


class Mark(StrEnum):
    """What kind of message it is, in one label before its text."""

    EXERCISE = "exercise"
    TEST = "test"
    UPDATE = "update"
    CANCELLED = "cancelled"


class OwnWords(msgspec.Struct, frozen=True, kw_only=True):
    """A coordinator's own words in one language; what is empty is made of the others."""

    language: str
    sms: str = ""
    subject: str = ""
    email: str = ""
    voice: str = ""


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """What a message tells: one of stories and words, or, of a Cancel, neither."""

    stories: tuple[Story, ...] = ()
    """One a language, to be written for every channel."""
    words: tuple[OwnWords, ...] = ()
    """One a language, sent as they were typed."""
    title: str = ""
    """The subject of mails whose words have none."""
    note: str = ""
    """What a Cancel says that has neither; empty: what it cancels, by name."""
    marks: tuple[Mark, ...] = ()
    identifier: str = ""
    notes: tuple[str, ...] = ()
    """What the sender should know of how this was made, in sentences."""

    @property
    def is_long(self) -> bool:
        """Whether to write it takes so long that it is better done in a thread."""
        told = sum(len(t) for s in self.stories for p in s.passages for t in (p.headline, *p.texts, *p.areas))
        typed = sum(len(w.sms) + len(w.email) + len(w.voice) for w in self.words)
        return told + typed > _LONG

    @property
    def says_itself(self) -> bool:
        """Whether it needs nothing of what it cancels."""
        return bool(self.stories or self.words)


def write(wording: Wording, channels: Collection[Channel], style: Style, *, cancelled: Sequence[Story] = ()) -> Texts:
    """The texts of every channel and language. `cancelled`: how that which is cancelled was called, by language, for a
    Cancel without a text of its own.

    Raises TextsRefused when there is nothing to say, or nothing that a channel could carry.
    """
    if wording.words:
        return typed(wording.words, channels, style, title=wording.title)
    stories = wording.stories or _cancelling(wording, style, cancelled)
    return _written(stories, channels, style, wording.notes)


def typed(words: Sequence[OwnWords], channels: Collection[Channel], style: Style, *, title: str) -> Texts:
    """Each text in its own words, without what no channel carries.

    Raises TextsRefused with every fault: a language twice or without a text, a text too long for its channel.
    """
    by_channel: dict[Channel, dict[str, TextContent]] = {channel: {} for channel in Channel if channel in channels}
    problems: list[str] = []
    for each in words:
        language = primary(each.language)
        if any(language in texts for texts in by_channel.values()):
            problems.append(f"There are two texts in {language}.")
            continue
        for channel, texts in by_channel.items():
            try:
                texts[language] = _TYPED[channel](each, style, title)
            except TextsRefused as refused:
                problems += refused.problems
    if not words:
        problems.append("There is no text in any language.")
    if problems:
        raise TextsRefused(*dict.fromkeys(problems))
    return Texts(by_channel=by_channel)


def label(marks: Collection[Mark], language: str) -> str:
    words = labels(language)
    return " - ".join(getattr(words, mark) for mark in Mark if mark in marks)


# ---- a Cancel without a text ----------------------------------------------------------------------------------


def _cancelling(wording: Wording, style: Style, cancelled: Sequence[Story]) -> list[Story]:
    if Mark.CANCELLED not in wording.marks:
        raise TextsRefused("The alert holds no info: there is nothing to say.")
    stories = [_ended(wording, story) for story in cancelled]
    if stories:
        return stories
    if not says_something(wording.note):
        raise TextsRefused("The Cancel holds neither info nor note, and what it cancels is not known.")
    return [_ended(wording, Story(language=primary(style.default_language), passages=(Passage(headline=""),)))]


def _ended(wording: Wording, story: Story) -> Story:
    """The end of what this story told."""
    return msgspec.structs.replace(
        story,
        passages=(Passage(headline=wording.note),) if says_something(wording.note) else story.passages,
        label=label(wording.marks, story.language),
        identifier=wording.identifier,
    )


# ---- stories --------------------------------------------------------------------------------------------------

_WRITERS: dict[Channel, Callable[[Story, Style], TextContent]] = {
    Channel.SMS: writing.sms,
    Channel.EMAIL: writing.mail,
    Channel.VOICE: writing.speech,
}


def _written(stories: Sequence[Story], channels: Collection[Channel], style: Style, notes: Sequence[str]) -> Texts:
    problems: list[str] = []
    by_channel: dict[Channel, dict[str, TextContent]] = {}
    for channel, write in _WRITERS.items():
        if channel not in channels:
            continue
        by_channel[channel] = {}
        for each in stories:
            try:
                by_channel[channel][each.language] = write(each, style)
            except TextsRefused as refused:
                problems += refused.problems
    if problems:
        raise TextsRefused(*dict.fromkeys(problems))
    return Texts(by_channel=by_channel, notes=tuple(notes))


# ---- words as they were typed ---------------------------------------------------------------------------------


def _typed_sms(words: OwnWords, style: Style, title: str) -> SmsContent:
    if not says_something(words.sms):
        return writing.sms(_derived(words, words.email if says_something(words.email) else words.voice), style)
    text = "\n".join(paragraphs(words.sms))
    count = writing.segments(text, style.sms_mode)
    if count > style.sms_segment_ceiling:
        raise TextsRefused(
            f"The SMS in {primary(words.language)} takes {count} segments; the zone allows {style.sms_segment_ceiling}."
        )
    return SmsContent(text=text, mode=style.sms_mode)


def _typed_mail(words: OwnWords, style: Style, title: str) -> MailContent:
    text = next(filter(says_something, (words.email, words.sms, words.voice)), "")
    derived = _derived(words, text)
    return MailContent(
        subject=one_line(words.subject) or one_line(title),
        paragraphs=(*paragraphs(derived.passages[0].headline), *filter(None, (one_line(style.sender_name),))),
        urgent=style.urgent,
    )


def _typed_speech(words: OwnWords, style: Style, title: str) -> SpeechContent:
    if not says_something(words.voice):
        return writing.speech(_derived(words, words.sms if says_something(words.sms) else words.email), style)
    language = primary(words.language)
    opening, menu = writing.frame(language, style.sender_name, style)
    body = one_line(words.voice)
    try:
        script.prepare(language, body, opening=opening, menu=menu)
    except script.SpeechRefused as exc:
        raise TextsRefused(f"Speech in {language}: {exc}") from exc
    return SpeechContent(body=body, opening=opening, menu=menu)


def _derived(words: OwnWords, text: str) -> Story:
    if not says_something(text):
        raise TextsRefused(f"There is no text in {primary(words.language)}.")
    return Story(language=primary(words.language), passages=(Passage(headline=text),))


_TYPED: dict[Channel, Callable[[OwnWords, Style, str], TextContent]] = {
    Channel.SMS: _typed_sms,
    Channel.EMAIL: _typed_mail,
    Channel.VOICE: _typed_speech,
}
