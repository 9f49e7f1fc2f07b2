"""The words of a campaign for one zone: its policy's style over the templates; refusals in the words of the API."""

from cap import Alert
from channels.contract import Channel
from gateway.campaigns.planning import ZoneRefused
from gateway.directory.policy import ZonePolicy
from gateway.errors import Reason
from gateway.kinds import Kind
from gateway.templates.compose import from_alert
from gateway.templates.content import Texts, TextsRefused
from gateway.templates.story import Style
from store.directory import ZoneRow


def style_of(zone: ZoneRow, policy: ZonePolicy, kind: Kind) -> Style:
    return Style(
        sms_segment_ceiling=policy.sms_segment_ceiling,
        sms_mode=policy.sms_mode,
        sender_name=policy.email_sender_name or zone.name,
        default_language=policy.default_language,
        urgent=kind is Kind.ALERT,
    )


def alert_texts(alert: Alert, channels: tuple[Channel, ...], style: Style, *, cancelled: Alert | None = None) -> Texts:
    """Raises ZoneRefused naming every fault."""
    try:
        return from_alert(alert, channels, style, cancelled=cancelled)
    except TextsRefused as refused:
        raise ZoneRefused(str(refused), tuple(Reason("TEXT", problem) for problem in refused.problems)) from refused
