"""The kinds of message, and what each decides: opt-outs, who goes first, doubt, credit, life, wait for receipts.

ONE table; nothing else decides any of it.
"""

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    ALERT = "alert"
    """Urgent ("warm"): reaches everyone, whatever they said about other kinds."""
    PREVENTIVE = "preventive"
    NEWS = "news"
    INFO = "info"


class CrashPolicy(StrEnum):
    RESEND = "resend"
    """An unknown delivery is sent again after the wait for receipts: at least once."""
    REPORT = "report"
    """An unknown delivery stays unknown and is reported: at most once."""


class KindRules(msgspec.Struct, frozen=True):
    priority: int
    """0 goes first; a lane yields to a lower number at every slot window (250 ms)."""
    crash_policy: CrashPolicy
    opt_outs_count: bool
    may_overdraw: bool
    """Launched although the prepaid balance does not cover it."""
    default_life_s: int
    """How long it may still be sent, where nothing says when it expires."""
    receipt_horizon_s: int
    """How long after the last sending receipts are waited for before the report is sealed."""


KINDS: dict[Kind, KindRules] = {
    Kind.ALERT: KindRules(0, CrashPolicy.RESEND, False, True, 4 * 3600, 24 * 3600),
    Kind.PREVENTIVE: KindRules(1, CrashPolicy.REPORT, True, False, 24 * 3600, 48 * 3600),
    Kind.INFO: KindRules(2, CrashPolicy.REPORT, True, False, 48 * 3600, 72 * 3600),
    Kind.NEWS: KindRules(3, CrashPolicy.REPORT, True, False, 48 * 3600, 72 * 3600),
}
