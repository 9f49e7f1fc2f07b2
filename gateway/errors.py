"""Refusals: what the gateway will not do, for a reason that the caller is told. Translated once, at the door."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import msgspec

MOST_FAULTS = 50
"""Of one input that are told."""
MORE = ("more is wrong than these {0} faults", "Mend these; the rest is told then.")
"""What ends a list of faults that is cut, as the cause `more`."""


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault among all that were found; `cause`, `facts` and `left_out` are those of `cap.Problem`."""

    rule: str
    text: str
    level: str = "error"
    path: str = ""
    line: int = 0
    section: str = ""
    value: str = ""
    remedy: str = ""
    cause: str = ""
    facts: tuple[str, ...] = ()
    left_out: bool = False
    pointer: str = ""
    """Of a fault in a JSON body: where, as of RFC 6901."""
    choices: tuple[str, ...] = ()
    """What may stand there, where these are some words or numbers and no others."""


def first_of(reasons: Iterator[Reason]) -> tuple[Reason, ...]:
    """As many of the faults of an input as are told, and where there are more: that there are."""
    told = tuple(itertools.islice(reasons, MOST_FAULTS))
    if next(reasons, None) is None:
        return told
    text, remedy = (words.format(MOST_FAULTS) for words in MORE)
    return (*told, Reason(told[0].rule, text, remedy=remedy, cause="more", facts=(str(MOST_FAULTS),)))


class Refusal(Exception):
    """`status` is HTTP's, `code` a stable word for programs, `title` one sentence for people; `members` are figures and
    values that stand beside them in the answer (RFC 9457 3.2)."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        reasons: Sequence[Reason] = (),
        detail: str = "",
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.code = code
        self.title = title
        self.reasons = tuple(reasons)
        self.detail = detail
        self.members = dict(members or {})


class Later(Refusal):
    """Too much of something by one account or address: 429, and after how many seconds it may be tried again."""

    def __init__(self, code: str, title: str, retry_after_s: float, detail: str = "") -> None:
        super().__init__(429, code, title, detail=detail)
        self.retry_after_s = retry_after_s
