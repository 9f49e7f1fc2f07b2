"""What is asked for is counted before anything is reckoned, and every limit is told by its value and its name."""

from collections.abc import Iterator

import cap
from gateway.campaigns.answers import MessageRequest
from gateway.directory.targets import Targets
from gateway.errors import Reason, Refusal
from gateway.settings import LimitSettings, Settings

TOO_MUCH = "LIMIT"
"""The rule."""


def cap_limits(settings: Settings) -> cap.Limits:
    """What one CAP document may hold."""
    limits = settings.limits
    return cap.Limits(
        max_bytes=settings.server.max_document_bytes,
        max_elements=limits.cap_elements,
        max_infos=limits.cap_infos,
        max_areas=limits.cap_areas,
        max_points=limits.cap_points,
    )


def require_countable(targets: Targets, limits: LimitSettings) -> None:
    """Raises Refusal 422 naming every limit that the targets are beyond."""
    _refuse(_of_targets(targets, limits))


def require_modest(request: MessageRequest, limits: LimitSettings) -> None:
    """The same of a composed message: its targets and its texts."""
    _refuse((*_of_targets(request.targets, limits), *_of_texts(request, limits)))


def _of_targets(targets: Targets, limits: LimitSettings) -> Iterator[Reason]:
    points = sum(len(polygon.points) for polygon in targets.polygons)
    names = len(targets.networks) + len(targets.groups) + len(targets.bad_addresses)
    yield from _over("polygons", len(targets.polygons), limits.polygons, "polygons")
    yield from _over("points of polygons", points, limits.points, "points")
    yield from _over("circles", len(targets.circles), limits.circles, "circles")
    yield from _over("geocodes", len(targets.geocodes), limits.geocodes, "geocodes")
    yield from _over("networks and groups", names, limits.networks, "networks")


def _of_texts(request: MessageRequest, limits: LimitSettings) -> Iterator[Reason]:
    yield from _over("languages", len(request.texts), limits.languages, "languages")
    for place, text in enumerate(request.texts[: limits.languages]):
        for name, most in (
            ("sms", limits.sms_characters),
            ("subject", limits.subject_characters),
            ("email", limits.email_characters),
            ("voice", limits.voice_characters),
        ):
            key = f"{name}_characters"
            yield from _over(f"characters of `{name}`", len(getattr(text, name)), most, key, f"$.texts[{place}].{name}")


def _over(what: str, n: int, most: int, key: str, path: str = "") -> Iterator[Reason]:
    if n > most:
        text = f"{n} {what} are more than are taken at once: {most} at most (limits.{key})."
        yield Reason(TOO_MUCH, text, path=path, value=str(n))


def _refuse(found: Iterator[Reason] | tuple[Reason, ...]) -> None:
    reasons = tuple(found)
    if reasons:
        raise Refusal(422, "too-much", "This asks for more than is taken at once.", reasons)
