"""The words of a campaign for one zone: its policy's style over the templates; refusals in the words of the API."""

from collections.abc import Sequence

from channels.contract import Channel
from gateway.campaigns.planning import ZoneRefused
from gateway.directory.resolve import Readers
from gateway.directory.zone_policy import ZonePolicy
from gateway.errors import Reason
from gateway.kinds import Kind
from gateway.texts.content import Texts, TextsRefused
from gateway.texts.story import Story, Style
from gateway.texts.wording import Wording, write
from store.register.reading import ZoneRow


def style_of(zone: ZoneRow, policy: ZonePolicy, kind: Kind) -> Style:
    return Style(
        sms_segment_ceiling=policy.sms_segment_ceiling,
        sms_mode=policy.sms_mode,
        sender_name=policy.email_sender_name or zone.name,
        default_language=policy.default_language,
        urgent=kind is Kind.ALERT,
    )


def language_warnings(languages: Sequence[str], readers: Sequence[Readers]) -> tuple[Reason, ...]:
    """What a coordinator should know before a message leaves: who gets a text in another language than their own, and
    which of the texts nobody reads. `languages`: those of the texts."""
    found = []
    for line in readers:
        if line.language and line.language != line.text:
            text = f"{_persons(line.persons)} {line.language} and will get the text in {line.text}."
            remedy = f"Write a text in {line.language}."
            found.append(Reason("L-MISSING", text, level="warning", value=line.language, remedy=remedy))
    read = {line.language for line in readers}
    for language in languages:
        if language not in read:
            given = sum(line.persons for line in readers if line.text == language)
            rest = f"{given} persons get it all the same" if given else "nobody gets it"
            text = f"Nobody who is reached is known to read {language}: {rest}."
            found.append(Reason("L-UNREAD", text, level="warning", value=language))
    return tuple(found)


def _persons(n: int) -> str:
    return "1 person reads" if n == 1 else f"{n} persons read"


def texts_of(
    wording: Wording, channels: tuple[Channel, ...], style: Style, *, cancelled: Sequence[Story] = ()
) -> Texts:
    """The texts of an announcement in a zone's style. Raises ZoneRefused naming every fault."""
    try:
        return write(wording, channels, style, cancelled=cancelled)
    except TextsRefused as refused:
        raise ZoneRefused(str(refused), tuple(Reason("TEXT", problem) for problem in refused.problems)) from refused
