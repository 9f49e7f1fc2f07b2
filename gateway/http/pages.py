"""Lists in pages: a cursor, a bound, and a link to what comes next, in the body and in the head (RFC 8288)."""

from typing import Annotated
from urllib.parse import urlencode

import msgspec

MOST = 1_000
Limit = Annotated[int, msgspec.Meta(ge=1, le=MOST, description="So many in one page at most.")]
Cursor = Annotated[str, msgspec.Meta(max_length=64, description="Where to go on: as `next` of the page before says.")]
USUAL = 200


def link(path: str, **parameters: object) -> str:
    """The address of a page; parameters that say nothing are left out."""
    given = {name: value for name, value in parameters.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}"


def heading(next_: str) -> dict[str, str]:
    """The Link header of a page, where there is one after it."""
    return {"Link": f'<{next_}>; rel="next"'} if next_ else {}
