"""The documented way from an alert, or from a composed message, to the words of every channel and language. Pure.

`MAPPING` below is the table; the preview of an alert shows it to its sender. In words:

- The infos of an alert are gathered by the first part of their language tag, as sent; absent means en-US. Of
  "nl-BE" and "nl-NL" the first one sent counts. The first info of a language is the text; what later ones add
  (headline, description, instruction that were not said yet) follows it. Everybody gets all of it: telling
  members of different areas different things is not supported, one alert for each area does that.
- Not used: resources, parameters, times, codes, audience, response types. Say in words what people must know.
- A Cancel without info says its note, else the headline or event of what it cancels, behind the label
  "cancelled" of each language of the cancelled alert (the zone's own language where that is unknown).
- Labels are the only words of ours (gateway/texts/labels.py).
- Characters that no channel carries (controls, halves, direction overrides) are left out.

A composed message keeps its words as they were typed, and loses what no channel carries; an SMS is written in letters
that its SMSC has. Too long for its channel, it is refused, never cut. Where a channel's
text is missing it is made of what there is: SMS of the e-mail, else of the speech; speech of the SMS, else of the
e-mail (both cut like an alert's); e-mail of the SMS, else of the speech; the subject of the title.
"""

from collections.abc import Collection, Iterable, Sequence

from cap.model import DEFAULT_LANGUAGE, Alert, Info, MsgType, Status
from channels.contract import Channel
from gateway.texts.clean_text import one_line, says_something
from gateway.texts.content import Texts
from gateway.texts.language import primary
from gateway.texts.story import Passage, Story, Style
from gateway.texts.wording import Mark, OwnWords, Wording, label, typed, write

_MOST_SEEN = 500
"""Characters in which a name must say something to be one."""

MAPPING: tuple[tuple[str, str], ...] = (
    ("sms", "label: headline (else event). description instruction; on one line, within the zone's segment ceiling"),
    ("sms, cut", "at a sentence (else a word), then the label More and web, else contact, else (...)"),
    ("email subject", "label: headline (else event)"),
    (
        "email body",
        "headline (else event), description, instruction, areaDesc, web, contact, senderName; cut at 20,000 characters",
    ),
    ("voice opening", "label Message from and senderName (else the zone's name)"),
    ("voice body", "as sms, cut so that the call stays within 60 seconds by the estimate"),
    ("language", "infos by the first part of their language tag; absent is en; later infos of a language are added"),
    ("label", "EXERCISE or TEST by status; Update or Cancelled by msgType"),
    ("Cancel without info", "its note, else the headline (else event) of the cancelled alert"),
    ("not used", "resource, parameter, eventCode, responseType, audience, onset, effective, expires"),
)


def from_alert(alert: Alert, channels: Collection[Channel], style: Style, *, cancelled: Alert | None = None) -> Texts:
    """The texts of an alert; `cancelled` is what a Cancel without info cancels, where it is known.

    Raises TextsRefused when there is nothing to say, or nothing that a channel could carry.
    """
    return write(wording_of(alert), channels, style, cancelled=named(cancelled) if cancelled else ())


def from_message(words: Sequence[OwnWords], channels: Collection[Channel], style: Style, *, title: str) -> Texts:
    """The texts of a composed message, each in its own words.

    Raises TextsRefused with every fault: a language twice or without a text, a text too long for its channel.
    """
    return typed(words, channels, style, title=title)


def wording_of(alert: Alert) -> Wording:
    """What an alert tells."""
    notes: list[str] = []
    stories = tuple(_stories(alert, notes))
    return Wording(
        stories=stories, note=alert.note, marks=_marks(alert), identifier=alert.identifier, notes=tuple(notes)
    )


def named(alert: Alert) -> tuple[Story, ...]:
    """How an alert calls what it is about, by language, and who says it: what a Cancel without a text says of it."""
    known: dict[str, Info] = {}
    for info in alert.infos:
        known.setdefault(primary(info.language or DEFAULT_LANGUAGE), info)
    return tuple(
        Story(
            language=language,
            passages=(Passage(headline=_headline(info)),),
            web=_first([info.web]),
            contact=_first([info.contact]),
            sender=_first([info.sender_name]),
        )
        for language, info in known.items()
    )


# ---- alerts ---------------------------------------------------------------------------------------------------


def _stories(alert: Alert, notes: list[str]) -> list[Story]:
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
        passages=tuple(_passage(alert, info) for info in infos),
        label=label(_marks(alert), language),
        web=_first(info.web for info in infos),
        contact=_first(info.contact for info in infos),
        sender=_first(info.sender_name for info in infos),
        identifier=alert.identifier,
    )


def _passage(alert: Alert, info: Info) -> Passage:
    names = (area.description for area in alert.areas_of(info))
    areas = tuple(dict.fromkeys(name for name in names if one_line(name[:_MOST_SEEN])))
    return Passage(headline=_headline(info), texts=(info.description, info.instruction), areas=areas)


def _headline(info: Info) -> str:
    return info.headline if says_something(info.headline[:_MOST_SEEN]) else info.event


_BY_STATUS = {Status.EXERCISE: Mark.EXERCISE, Status.TEST: Mark.TEST}
_BY_TYPE = {MsgType.UPDATE: Mark.UPDATE, MsgType.CANCEL: Mark.CANCELLED}


def _marks(alert: Alert) -> tuple[Mark, ...]:
    return tuple(mark for mark in (_BY_STATUS.get(alert.status), _BY_TYPE.get(alert.msg_type)) if mark is not None)


def _first(values: Iterable[str]) -> str:
    return next((value for value in values if one_line(value[:_MOST_SEEN])), "")
