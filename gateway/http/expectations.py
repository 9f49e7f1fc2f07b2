"""What a client expects before it sends a body (RFC 9110, 10.1.1): to be told to go on, and nothing else."""

import msgspec
from aiohttp import HttpVersion11, web

from gateway.errors import Refusal
from gateway.http.problems import problem

_CONTINUE = "100-continue"
_CODE = "expectation-failed"
_TITLE = "Of Expect the gateway knows 100-continue only."


async def tell_to_go_on(request: web.Request) -> None:
    """100 to who waits for it, unless the body says that it is too large: the answer is there already then."""
    if _expected(request) and _is_met(request) and (request.content_length or 0) <= request.client_max_size:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # none of it belongs to the answer


def require_met(request: web.Request) -> None:
    """Raises Refusal 417 where something else is expected."""
    if not _is_met(request):
        raise Refusal(417, _CODE, _TITLE)


def not_met(request_id: str, help_lines: msgspec.Raw | None) -> web.Response:
    """The same where no route is there to raise it."""
    return problem(417, _CODE, _TITLE, request_id=request_id, help_lines=help_lines)


def _expected(request: web.Request) -> list[str]:
    """HTTP/1.0 has no expectations; what an old client sends is passed over."""
    return request.headers.getall("Expect", []) if request.version >= HttpVersion11 else []


def _is_met(request: web.Request) -> bool:
    return all(one.strip().lower() == _CONTINUE for one in _expected(request))
