"""What a call says, in three parts that are rendered and cached apart: opening, body, menu.

Pure. The length is an estimate from the number of letters until a speech engine has measured the sound
(`Script.measured`). Knows no engine, no trunk and no price.
"""

import math
import re

import msgspec

from channels.voice.speakable import primary, speakable

MAX_BODY_S = 60.0
"""A voice message is sold by the minute and is of one minute: a longer one is refused, never cut off."""

# Letters and blanks a second of unhurried reading aloud, some 130-140 words a minute. Chosen low on purpose:
# an estimate that is too long reserves a minute too much, one that is too short promises a price too low.
_LETTERS_PER_S = {"nl": 13.5, "fr": 14.5, "de": 13.0, "en": 14.0}
_SLOWEST = 13.0
_SENTENCE_PAUSE_S = 0.4
_COMMA_PAUSE_S = 0.15
_SENTENCE_END = re.compile(r"[.!?:…]+(?=\s|$)")
_COMMA = re.compile(r"[,;](?=\s|$)")


class SpeechRefused(ValueError):
    """The text cannot be spoken; the message says why, in a sentence for its author."""


class Script(msgspec.Struct, frozen=True):
    """One call, ready to be rendered. Satisfies `channels.contract.Content`."""

    language: str
    """BCP 47, as the text has it: it chooses the voice."""
    opening: str
    """Who calls."""
    body: str
    menu: str
    """Which keys do what; empty where no key is asked for."""
    seconds: float
    """Of sound, all parts once."""
    estimated: bool = True

    @property
    def units(self) -> int:
        """One call start, however long it talks."""
        return 1

    @property
    def minutes(self) -> int:
        """Started minutes of one hearing: what an answered call costs at most."""
        return max(1, math.ceil(self.seconds / 60))

    @property
    def parts(self) -> tuple[str, ...]:
        """The texts in the order in which they are said."""
        return tuple(part for part in (self.opening, self.body, self.menu) if part)

    def measured(self, seconds: float) -> "Script":
        """The same call with the length that an engine measured."""
        return msgspec.structs.replace(self, seconds=seconds, estimated=False)


def prepare(language: str, body: str, *, opening: str = "", menu: str = "") -> Script:
    """Make a text ready to be spoken; numbers, plates, dates and addresses are spelled out.

    Raises SpeechRefused for a body with nothing to say, or of more than 60 seconds by the estimate.
    """
    said = [speakable(part, language) for part in (opening, body, menu)]
    if not any(character.isalnum() for character in said[1]):
        raise SpeechRefused("The text holds nothing that can be spoken.")
    body_s = estimate_s(said[1], language)
    if body_s > MAX_BODY_S:
        raise SpeechRefused(f"The text takes about {body_s:.0f} seconds to say; a call has room for {MAX_BODY_S:.0f}.")
    return Script(
        language=language,
        opening=said[0],
        body=said[1],
        menu=said[2],
        seconds=round(sum(estimate_s(part, language) for part in said), 1),
    )


def estimate_s(text: str, language: str) -> float:
    """About how many seconds the text takes to say, pauses included. Never less for more text."""
    letters = len(text) / _LETTERS_PER_S.get(primary(language), _SLOWEST)
    pauses = len(_SENTENCE_END.findall(text)) * _SENTENCE_PAUSE_S + len(_COMMA.findall(text)) * _COMMA_PAUSE_S
    return letters + pauses
