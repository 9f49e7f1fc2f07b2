"""What is done with a password, as values: whoever does it, and wherever."""

import time

import msgspec

from gateway.access.passwords import hash_of, is_guessable, is_right


class CheckPassword(msgspec.Struct, frozen=True, tag="check"):
    """Whether this is the password of a hash; of an empty one nothing is, after the same work."""

    hash: str
    password: str


class HashPassword(msgspec.Struct, frozen=True, tag="hash"):
    """A new password's hash, unless it would soon be guessed by who knows these words."""

    password: str
    own_words: tuple[str, ...]


HashJob = CheckPassword | HashPassword


class NumberedJob(msgspec.Struct, frozen=True):
    number: int
    job: HashJob


class HashOutcome(msgspec.Struct, frozen=True):
    number: int
    """Of its job: no outcome is taken for another's."""
    cost_s: float
    """Of a core."""
    right: bool = False
    hash: str = ""
    """Empty: it would soon be guessed."""


def outcome_of(asked: NumberedJob) -> HashOutcome:
    began_s = time.process_time()
    right, hash_, job = False, "", asked.job
    if isinstance(job, CheckPassword):
        right = is_right(job.hash, job.password)
    elif not is_guessable(job.password, job.own_words):
        hash_ = hash_of(job.password)
    return HashOutcome(asked.number, time.process_time() - began_s, right, hash_)
