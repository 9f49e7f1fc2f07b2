"""Passwords: what one must be, its hash (argon2id) and its check. Pure work of a tenth of a second or more, for the
hashing queue; the libraries are loaded with the first of it."""

import re
import unicodedata
from collections.abc import Iterable

from gateway.access.guessable_words import WORDS
from gateway.errors import Reason, Refusal

SHORTEST = 12
LONGEST = 128
_JUDGED = 32
"""Characters that are judged: the time grows with the square of them, and worse."""
_LEAST_SCORE = 3
"""Of zxcvbn's 0 to 4: 10^8 guesses at least."""
_MOST_WORDS = 500
_LONGEST_WORD = 40
_MEMORY_KIB, _PASSES, _LANES = 47_104, 1, 1
"""OWASP's first choice for argon2id: 46 MiB, one pass, one lane."""
NOBODYS = "$argon2id$v=19$m=47104,t=1,p=1$is78Kwy2ZqzcDO6Q+LymsQ$qwYcnUW8Z72Jlh7dY6PKDmE/3ceu4wdgC8akECQXpoA"
"""What is compared where there is no account or no password: of a secret that nobody has kept."""


def normalised(password: str) -> str:
    """However a keyboard composes it."""
    return unicodedata.normalize("NFKC", password)


def require_length(password: str) -> None:
    """Raises Refusal 422."""
    if len(normalised(password)) < SHORTEST:
        text, remedy = f"It has fewer than {SHORTEST} characters.", "Take four words that have nothing to do together."
        raise _weak(Reason("PASSWORD", text, remedy=remedy, cause="short", facts=(str(SHORTEST),), pointer="/password"))


def is_guessable(password: str, own_words: Iterable[str]) -> bool:
    """Whether it would soon be guessed by somebody who knows the house: `own_words` are its names and its owner's."""
    from zxcvbn import zxcvbn

    words = list(dict.fromkeys((*_parts(own_words), *WORDS)))
    whole = normalised(password)
    # Blanks and dashes between two words of the trade are thought to be guessed by trying everything: they are not.
    judged = {whole[:_JUDGED], re.sub(r"[\W_]+", "", whole)[:_JUDGED]}
    scores = [zxcvbn(text, user_inputs=words, max_length=_JUDGED)["score"] for text in judged if text]
    return min(scores, default=0) < _LEAST_SCORE


def guessable() -> Refusal:
    """The refusal of such a password."""
    text = "It would soon be guessed: words of the trade, names, dates and keys in a row are tried first."
    remedy = "Take four words that have nothing to do together."
    return _weak(Reason("PASSWORD", text, remedy=remedy, cause="guessable", pointer="/password"))


def _parts(names: Iterable[str]) -> list[str]:
    """Names and the words in them, folded, so many of so many characters."""
    found: dict[str, None] = {}
    for name in names:
        for word in (name, *re.split(r"[\W_]+", name)):
            if len(word) > 2:
                found[word.casefold()[:_LONGEST_WORD]] = None
        if len(found) >= _MOST_WORDS:
            break
    return list(found)[:_MOST_WORDS]


def _weak(reason: Reason) -> Refusal:
    return Refusal(422, "weak-password", "This password is too weak.", (reason,))


def hash_of(password: str) -> str:
    from argon2 import PasswordHasher

    return PasswordHasher(_PASSES, _MEMORY_KIB, _LANES).hash(normalised(password))


def is_right(hash_: str, password: str) -> bool:
    """Takes the same time where there is none: an empty hash is that of nobody's."""
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        right = PasswordHasher(_PASSES, _MEMORY_KIB, _LANES).verify(hash_ or NOBODYS, normalised(password))
    except (VerificationError, InvalidHashError):
        return False
    return right and bool(hash_)
