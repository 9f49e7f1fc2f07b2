"""The handlers of courses: what stands at an account, noting one, taking one away."""

from datetime import date
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from gateway.access.courses import CourseRequest
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.preconditions import etag_of, require_match
from store.access.courses import CourseRow

_REVISION = 1
"""A course is never changed."""


class NotedCourse(msgspec.Struct, frozen=True, kw_only=True):
    """A course that somebody has followed."""

    id: str
    href: str
    name: str
    on_date: date
    """The day on which it ended."""
    by: str
    """The account that says so; empty: somebody at the machine's terminal."""
    noted_ms: int
    revision: int


class CourseList(msgspec.Struct, frozen=True):
    courses: tuple[NotedCourse, ...]


async def listing(asked: Asked[NoQuery, None]) -> Answer:
    """All of them, the latest first: 200 at most."""
    code = asked.request.match_info["code"]
    found = await asked.context.services.courses.listing(asked.caller, code)
    return Answer(CourseList(shown_all(found, code)))


async def read(asked: Asked[NoQuery, None]) -> Answer:
    """With its ETag, by which it is taken away."""
    return _answer(await _seen(asked), asked)


async def note(asked: Asked[NoQuery, CourseRequest]) -> Answer:
    """The same course of the same day again is the one that stands. Nobody notes their own; it takes `administer` in
    every zone of that account."""
    noted = await asked.context.services.courses.note(asked.caller, asked.request.match_info["code"], asked.body)
    return _answer(noted, asked, 201)


async def remove(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """For what was noted by mistake: that it stood there is in the audit."""
    seen = await _seen(asked)
    require_match(asked.request, _REVISION, seen.by, seen.noted_ms)
    await asked.context.services.courses.remove(asked.caller, asked.request.match_info["code"], seen)
    return web.Response(status=204)


async def _seen(asked: Asked[Any, Any]) -> CourseRow:
    return await asked.context.services.courses.read(asked.caller, asked.request.match_info["code"], asked.id)


def shown_all(found: list[CourseRow], code: str) -> tuple[NotedCourse, ...]:
    """The courses of an account as they are told."""
    return tuple(_shown(one, code) for one in found)


def _answer(course: CourseRow, asked: Asked[Any, Any], status: int = 200) -> Answer:
    shown = _shown(course, asked.request.match_info["code"])
    location = {"Location": shown.href} if status == 201 else {}
    return Answer(shown, status, {"ETag": etag_of(_REVISION), **location})


def _shown(course: CourseRow, code: str) -> NotedCourse:
    return NotedCourse(
        id=str(course.id),
        href=f"/api/v1/accounts/{quote(code)}/courses/{course.id}",
        name=course.name,
        on_date=date.fromisoformat(course.on_date),
        by=course.by,
        noted_ms=course.noted_ms,
        revision=_REVISION,
    )
