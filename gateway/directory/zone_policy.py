"""What a zone has decided for itself: `zone.policy`, one JSON object; unknown keys are errors.

Pure. Who may do it is a matter of rights, what it costs of accounting.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from channels.contract import Channel
from channels.sms.transliteration import LetterMode
from gateway.help_lines import ZoneHelp
from gateway.kinds import Kind

Language = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2,3}\Z")]


class AreaMode(StrEnum):
    """What an area of an alert means."""

    GROUPS = "groups"
    """Every member of a network whose territory meets it: the neighbourhood acts as one."""
    MEMBERS = "members"
    """The members whose own position lies in it."""


_EVERY_CHANNEL = (Channel.SMS, Channel.EMAIL, Channel.VOICE)
_FREE_CHANNELS = (Channel.EMAIL,)


class PolicyRefused(ValueError):
    """The JSON is not a policy; the text names the path and the reason."""


class ZonePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one zone has decided. The defaults are those of a police zone with neighbourhood networks."""

    area_mode: AreaMode = AreaMode.GROUPS
    touching_counts: bool = True
    """Whether an area that only borders on a network's territory reaches its members; told by name either way."""
    allow_whole_zone: bool = True
    """Whether everyone may be targeted at once (a flag, or POLICEZONE with the zone's own code)."""
    alert_channels: tuple[Channel, ...] = _EVERY_CHANNEL
    preventive_channels: tuple[Channel, ...] = _EVERY_CHANNEL
    news_channels: tuple[Channel, ...] = _FREE_CHANNELS
    info_channels: tuple[Channel, ...] = _FREE_CHANNELS
    default_language: Language = "nl"
    """Of a member whose language the register does not know."""
    language_fallback: tuple[Language, ...] = ("nl", "fr", "de", "en")
    """Tried in this order when a text is not available in the member's language."""
    sms_segment_ceiling: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    """Segments of one SMS at most: a longer text is cut at a sentence and says where the rest is."""
    sms_mode: LetterMode = LetterMode.GSM
    """What may be altered in a text so that it costs fewer segments."""
    email_sender_name: Annotated[str, msgspec.Meta(max_length=100)] = ""
    """Shown before the configured sender address; empty: the zone's name."""
    help: ZoneHelp = ZoneHelp()
    """Its own help lines, which take the place of the platform's, and documents for its accounts."""
    course_within_days: Annotated[int, msgspec.Meta(ge=0, le=3_650)] = 0
    """A live message of kind alert is launched by who followed a course not longer ago than so many days; 0: by anybody
    with the right. What a dispatch centre's system sends has no such condition."""

    def channels(self, kind: Kind) -> tuple[Channel, ...]:
        """The channels on which this zone sends messages of a kind."""
        allowed: dict[Kind, tuple[Channel, ...]] = {
            Kind.ALERT: self.alert_channels,
            Kind.PREVENTIVE: self.preventive_channels,
            Kind.NEWS: self.news_channels,
            Kind.INFO: self.info_channels,
        }
        return allowed[kind]


def day_of(at_ms: int) -> date:
    """The day of an instant where the zones lie."""
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo("Europe/Brussels")).date()


def read_policy(text: str) -> ZonePolicy:
    """The policy of a zone's row; empty text is the default one. Raises PolicyRefused."""
    try:
        return msgspec.json.decode(text or "{}", type=ZonePolicy)
    except msgspec.MsgspecError as exc:
        raise PolicyRefused(str(exc)) from exc


def write_policy(policy: ZonePolicy) -> str:
    """The text of `zone.policy`: only what differs from the defaults, so that a later default reaches every zone."""
    return msgspec.json.encode(policy).decode()
