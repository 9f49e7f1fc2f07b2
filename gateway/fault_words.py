"""How each kind of fault of an input is told in English, and what to do about it. Other languages have the same entries
in `gateway/http/catalogues`, as `JSON/<cause>`."""

from collections.abc import Mapping, Sequence

WRONG_TYPE = "type"
"""The cause whose facts are kinds: what was found, then whatever is wanted in its place."""

KINDS: Mapping[str, str] = {
    "text": "text",
    "whole number": "a whole number",
    "number": "a number",
    "true or false": "true or false",
    "list": "a list",
    "object": "an object",
    "nothing": "nothing",
    "time": "a date or time",
    "or": "or",
}
"""What a value can be, in plain words, and the word between two of them."""

CAUSES: Mapping[str, tuple[str, str]] = {
    "unknown": ("there is no key `{0}` here", "Known are: {1}."),
    "no-keys": ("there is no key `{0}` here, nor any other", "Leave it out."),
    "missing": ("the key `{0}` is missing", "Add `{0}`."),
    "untagged": ("one of {1} is wanted, and it is missing", "Add `{0}`: one of {1}."),
    "choice": ("one of {1} is wanted, and `{0}` is none of them", "Write one of {1}."),
    WRONG_TYPE: ("{1} is wanted, and there is {0} here", "Write {1}."),
    "too-long": ("there are {1} characters here, and at most {0} are wanted", "Write at most {0} characters."),
    "too-short": ("there are {1} characters here, and at least {0} are wanted", "Write at least {0} characters."),
    "pattern": ("this does not match `{0}`", "Write what matches `{0}`."),
    "form": ("this is not written like `{0}`", "Write it like `{0}`."),
    "no-such-time": ("there is no `{0}`", "Write a day and a time that exist, like `{1}`."),
    "base64": ("this is no base64", "Write it in base64."),
    "range": ("this is not from {0} to {1}", "Write a number from {0} to {1}."),
    "least": ("this is less than {0}", "Write {0} or more."),
    "most": ("this is more than {0}", "Write {0} or less."),
    "above": ("this is not more than {0}", "Write more than {0}."),
    "below": ("this is not less than {0}", "Write less than {0}."),
    "multiple": ("this is no multiple of {0}", "Write a multiple of {0}."),
    "too-many": ("there are {1} entries here, and at most {0} are wanted", "Leave at most {0} entries."),
    "too-few": ("there are {1} entries here, and at least {0} are wanted", "Give at least {0} entries."),
    "count": ("there are {1} entries here, and exactly {0} are wanted", "Give exactly {0} entries."),
    "key": ("no key here can be `{0}`", "Choose another key."),
    "key-choice": ("one of {1} is wanted as a key, and `{0}` is none of them", "Choose one of {1}."),
    "key-long": ("the key `{0}` has more than {1} characters", "Choose a key of at most {1} characters."),
    "key-short": ("the key `{0}` has less than {1} characters", "Choose a key of at least {1} characters."),
    "key-pattern": ("the key `{0}` does not match `{1}`", "Choose a key that matches `{1}`."),
    "key-form": ("the key `{0}` is not written like `{1}`", "Choose a key like `{1}`."),
}
"""cause -> what is wrong, and how to mend it; the places are those of the facts."""

NAMES: Mapping[str, tuple[str, str]] = {
    "not-there": ("there is no `{0}`", "Write the name of one that there is."),
    "needless": ("nothing belongs here beside `{0}`", "Leave it out."),
}
"""The same of names that are right in form: what they name is asked of the store."""
SURROGATE = ("`{0}` is half of a character: the other half does not follow it", "Write both halves, or none.")
"""What is told of a body in which half of a pair of surrogates stands alone, as the cause `surrogate`."""


def facts_as_said(cause: str, facts: Sequence[str], kinds: Mapping[str, str]) -> Sequence[str]:
    """What stands in the places of a cause's words, in the language of `kinds`."""
    if cause != WRONG_TYPE or not kinds:
        return facts
    found, *wanted = (kinds.get(fact, fact) for fact in facts)
    return found, f" {kinds['or']} ".join(wanted)
