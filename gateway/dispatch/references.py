"""Our own reference of an attempt: what peers echo (VERP, ENVID, call id). Pure.

It carries the store's generation, so that a late bounce of a timeline that a restore has undone hits nobody.
"""

import re

_FORM = re.compile(r"([a-z0-9]{1,16})\.([0-9a-f]{1,16})\.([0-9]{1,4})")


def reference(generation: str, delivery_id: int, attempt: int) -> str:
    """The reference of an attempt: at most 38 characters of [a-z0-9.]."""
    return f"{generation}.{delivery_id:x}.{attempt}"


def message_reference(generation: str, delivery_id: int) -> str:
    """The part of a reference that all attempts of a delivery share."""
    return f"{generation}.{delivery_id:x}"


def delivery_of(text: str, generation: str) -> int | None:
    """The delivery of a `message_reference`; None when it is not one of this generation of the store."""
    own, dot, number = text.rpartition(".")
    if not dot or own != generation or not re.fullmatch("[0-9a-f]{1,16}", number):
        return None
    return int(number, 16)


def attempt_of(text: str, generation: str) -> tuple[int, int] | None:
    """(delivery, attempt); None when it is not a reference of this generation of the store."""
    match = _FORM.fullmatch(text)
    if match is None or match[1] != generation:
        return None
    return int(match[2], 16), int(match[3])
