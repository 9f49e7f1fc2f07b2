"""The handlers of the files that pages are made of."""

from aiohttp import web

from gateway.errors import Refusal
from gateway.http.asking import Asked, NoQuery
from gateway.http.cached import FOREVER, CacheHead, answer_cached


async def file(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """Under a path that changes when a file does: to be kept for ever."""
    assets, match = asked.context.assets, asked.request.match_info
    asset = assets.files.get(match["name"]) if match["version"] == assets.version else None
    if asset is None:
        raise Refusal(404, "no-such-file", "There is no such file.")
    return await answer_cached(asked, asset.content, CacheHead(asset.etag, asset.media_type, None, FOREVER))


async def licences(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """Of each file of another project that is served here: by whom, and on which terms."""
    return web.Response(body=asked.context.assets.licences, content_type="text/plain", charset="utf-8")
