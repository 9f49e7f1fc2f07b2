"""The reasons of a report as sentences. Pure."""

from gateway.directory.reasons import ExclusionReason

OUTCOMES = {
    "reached": "Delivered on at least one channel.",
    "accepted": "Handed over: a carrier took it, and nobody confirms that it arrived.",
    "in_doubt": "It is not known whether a carrier took it.",
    "pending": "Still to be sent.",
    "not_reached": "No channel delivered it and at least one failed.",
    "expired": "It could not be delivered before it expired.",
    "cancelled": "It was called off before it was sent.",
    "not_needed": "It was not needed: they had not received what it cancels.",
}
"""In the order in which a report lists them, those of an alert who are in doubt before all others. `pending` exists
only while the campaign runs."""

_SENTENCES = {
    "unknown": "It is not known whether a carrier took the message.",
    "retired": "Unknown since the copy: the store was restored, and whether this had been sent is not known.",
    "queued": "The message waits for its turn.",
    "retry": "The message was not taken and will be tried again.",
    "expired": "The time in which the message could be sent or delivered ran out.",
    "stopped": "The campaign was stopped before the message was sent.",
    "cancelled": "A Cancel called the alert off before the message was sent.",
    "superseded": "An Update took the place of the alert before the message was sent.",
    "not_needed": "This person had not received what was to be cancelled.",
    "other_zone": "The address belongs to the campaign of another zone, whose record of it was not found.",
}
_EXCLUSIONS = {reason.word: reason.sentence for reason in ExclusionReason}


def sentence(reason: str) -> str:
    """For the `channel: code` of a failure the carrier's own word is part of it."""
    known = _SENTENCES.get(reason) or _EXCLUSIONS.get(reason)
    if known:
        return known
    channel, colon, code = reason.partition(": ")
    if channel == "taken":
        by = code.replace("+", " and ")
        return f"A carrier of {by} took it; no receipt says that it arrived."
    if colon:
        return f"Refused or failed on {channel}, with {code}."
    return f"Delivered by {reason.replace('+', ' and ')}."
