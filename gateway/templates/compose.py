"""The documented way from an alert, or from a composed message, to the words of every channel and language. Pure.

`MAPPING` below is the table; the preview of an alert shows it to its sender. In words:

- The infos of an alert are gathered by the first part of their language tag, as sent; absent means en-US. Of
  "nl-BE" and "nl-NL" the first one sent counts. The first info of a language is the text; what later ones add
  (headline, description, instruction that were not said yet) follows it. Everybody gets all of it: telling
  members of different areas different things is not supported, one alert for each area does that.
- Not used: resources, parameters, times, codes, audience, response types. Say in words what people must know.
- A Cancel without info says its note, else the headline or event of what it cancels, behind the label
  "cancelled" of each language of the cancelled alert (the zone's own language where that is unknown).
- Labels are the only words of ours (gateway/templates/labels.py).
- Characters that no channel carries (controls, halves, direction overrides) are left out.

A composed message is sent as it was typed. Too long for its channel, it is refused, never cut. Where a channel's
text is missing it is made of what there is: SMS of the e-mail, else of the speech; speech of the SMS, else of the
e-mail (both cut like an alert's); e-mail of the SMS, else of the speech; the subject of the title.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from cap.model import DEFAULT_LANGUAGE, Alert, Info, MsgType, Status
from channels.contract import Channel
from channels.voice import script
from gateway.templates import story as writing
from gateway.templates.content import MailContent, SmsContent, SpeechContent, TextContent, Texts, TextsRefused
from gateway.templates.labels import labels
from gateway.templates.language import primary
from gateway.templates.story import Passage, Story, Style
from gateway.templates.tidy import one_line, paragraphs, says_something

MAPPING: tuple[tuple[str, str], ...] = (
    ("sms", "label: headline (else event). description instruction; on one line, within the zone's segment ceiling"),
    ("sms, cut", "at a sentence (else a word), then the label More and web, else contact, else (...)"),
    ("email subject", "label: headline (else event)"),
    (
        "email body",
        "headline (else event), description, instruction, areaDesc, web, contact, senderName; nothing is cut",
    ),
    ("voice opening", "label Message from and senderName (else the zone's name)"),
    ("voice body", "as sms, cut so that the call stays within 60 seconds by the estimate"),
    ("language", "infos by the first part of their language tag; absent is en; later infos of a language are added"),
    ("label", "EXERCISE or TEST by status; Update or Cancelled by msgType"),
    ("Cancel without info", "its note, else the headline (else event) of the cancelled alert"),
    ("not used", "resource, parameter, eventCode, responseType, audience, onset, effective, expires"),
)


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """A coordinator's own words in one language; what is empty is made of the others."""

    language: str
    sms: str = ""
    subject: str = ""
    email: str = ""
    voice: str = ""


def from_alert(alert: Alert, channels: Collection[Channel], style: Style, *, cancelled: Alert | None = None) -> Texts:
    """The texts of an alert; `cancelled` is what a Cancel without info cancels, where it is known.

    Raises TextsRefused when there is nothing to say, or nothing that a channel could carry.
    """
    notes: list[str] = []
    stories = _stories(alert, style, notes) if alert.infos else _cancelling(alert, style, cancelled)
    return _written(stories, channels, style, notes)


def from_message(words: Sequence[Words], channels: Collection[Channel], style: Style, *, title: str) -> Texts:
    """The texts of a composed message, each as it was typed.

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


# ---- alerts ---------------------------------------------------------------------------------------------------


def _stories(alert: Alert, style: Style, notes: list[str]) -> list[Story]:
    sequences: dict[str, tuple[Info, ...]] = {}
    for tag, infos in alert.infos_by_language().items():
        language = primary(tag)
        if language in sequences:
            notes.append(f"The text in {tag} is not used: there is one in another {language} before it.")
        else:
            sequences[language] = infos
    if any(len(infos) > 1 for infos in sequences.values()):
        notes.append("Several infos of one language became one text, which everybody gets.")
    return [_story(alert, language, infos) for language, infos in sequences.items()]


def _story(alert: Alert, language: str, infos: Sequence[Info]) -> Story:
    return Story(
        language=language,
        passages=tuple(_passage(info) for info in infos),
        label=_label(alert, language),
        web=_first(info.web for info in infos),
        contact=_first(info.contact for info in infos),
        sender=_first(info.sender_name for info in infos),
        identifier=alert.identifier,
    )


def _passage(info: Info) -> Passage:
    headline = info.headline if says_something(info.headline) else info.event
    areas = tuple(dict.fromkeys(area.description for area in info.areas if one_line(area.description)))
    return Passage(headline=headline, texts=(info.description, info.instruction), areas=areas)


def _cancelling(alert: Alert, style: Style, cancelled: Alert | None) -> list[Story]:
    """What to say where the message itself says nothing in an info."""
    if alert.msg_type is not MsgType.CANCEL:
        raise TextsRefused("The alert holds no info: there is nothing to say.")
    known: dict[str, Info] = {}
    for info in cancelled.infos if cancelled else ():
        known.setdefault(primary(info.language or DEFAULT_LANGUAGE), info)
    stories = [_story(alert, language, (_cancelled_info(alert, info),)) for language, info in known.items()]
    if stories:
        return stories
    if not says_something(alert.note):
        raise TextsRefused("The Cancel holds neither info nor note, and what it cancels is not known.")
    language = primary(style.default_language)
    return [
        Story(
            language=language,
            passages=(Passage(headline=alert.note),),
            label=_label(alert, language),
            identifier=alert.identifier,
        )
    ]


def _cancelled_info(alert: Alert, info: Info) -> Info:
    named = info.headline if says_something(info.headline) else info.event
    return Info(
        categories=info.categories,
        event=info.event,
        urgency=info.urgency,
        severity=info.severity,
        certainty=info.certainty,
        headline=alert.note if says_something(alert.note) else named,
        sender_name=info.sender_name,
        web=info.web,
        contact=info.contact,
    )


def _label(alert: Alert, language: str) -> str:
    words = labels(language)
    by_status = {Status.EXERCISE: words.exercise, Status.TEST: words.test}
    by_type = {MsgType.UPDATE: words.update, MsgType.CANCEL: words.cancelled}
    return " - ".join(filter(None, (by_status.get(alert.status, ""), by_type.get(alert.msg_type, ""))))


def _first(values: Iterable[str]) -> str:
    return next((value for value in values if one_line(value)), "")


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


# ---- composed messages ----------------------------------------------------------------------------------------


def _typed_sms(words: Words, style: Style, title: str) -> SmsContent:
    if not says_something(words.sms):
        return writing.sms(_derived(words, words.email if says_something(words.email) else words.voice), style)
    text = "\n".join(paragraphs(words.sms))
    count = writing.segments(text, style.sms_mode)
    if count > style.sms_segment_ceiling:
        raise TextsRefused(
            f"The SMS in {primary(words.language)} takes {count} segments; the zone allows {style.sms_segment_ceiling}."
        )
    return SmsContent(text=text, mode=style.sms_mode)


def _typed_mail(words: Words, style: Style, title: str) -> MailContent:
    text = next(filter(says_something, (words.email, words.sms, words.voice)), "")
    derived = _derived(words, text)
    return MailContent(
        subject=one_line(words.subject) or one_line(title),
        paragraphs=(*paragraphs(derived.passages[0].headline), *filter(None, (one_line(style.sender_name),))),
        urgent=style.urgent,
    )


def _typed_speech(words: Words, style: Style, title: str) -> SpeechContent:
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


def _derived(words: Words, text: str) -> Story:
    if not says_something(text):
        raise TextsRefused(f"There is no text in {primary(words.language)}.")
    return Story(language=primary(words.language), passages=(Passage(headline=text),))


_TYPED: dict[Channel, Callable[[Words, Style, str], TextContent]] = {
    Channel.SMS: _typed_sms,
    Channel.EMAIL: _typed_mail,
    Channel.VOICE: _typed_speech,
}
