"""The parameters of a request -> the struct of its route, or every fault of them."""

from typing import TypeVar

import msgspec
from multidict import MultiMapping

from gateway.errors import Reason, Refusal

T = TypeVar("T")


def query_of(pairs: MultiMapping[str], type_: type[T]) -> T:
    """Raises Refusal 400."""
    for name in pairs:
        if len(pairs.getall(name)) > 1:
            raise _bad(name, "Given more than once.")
    try:
        return msgspec.convert(dict(pairs), type_, strict=False)
    except msgspec.ValidationError as exc:
        raise _bad("", str(exc)) from exc


def _bad(name: str, text: str) -> Refusal:
    return Refusal(400, "bad-parameter", "A parameter is not as it should be.", (Reason("PARAM", text, path=name),))
