"""What every handler is given: the house's services and the door's own parts."""

import asyncio
from dataclasses import dataclass

from gateway.access.allowance import Allowance
from gateway.access.keys import Keyring
from gateway.access.rights import Caller
from gateway.feed.changes import FeedChanges
from gateway.feed.current import CurrentFeed
from gateway.http.api_document import ApiDocument
from gateway.http.client_address import Network
from gateway.http.console_files import ConsoleFiles
from gateway.http.loaded_assets import LoadedAssets
from gateway.http.metrics import Metrics
from gateway.http.progress import ProgressWatch
from gateway.http.services import Services
from gateway.http.visitors import Visitors


@dataclass(frozen=True, slots=True)
class HttpContext:
    services: Services
    keyring: Keyring
    progress_watch: ProgressWatch
    current_feed: CurrentFeed
    feed_changes: FeedChanges
    metrics: Metrics
    visitors: Visitors
    allowance: Allowance
    api_document: ApiDocument
    trusted_proxies: tuple[Network, ...]
    assets: LoadedAssets
    console: ConsoleFiles
    reports: asyncio.Semaphore
    """Live reports drawn up at once: each reads all rows of its campaign."""
    heartbeat_s: float = 15.0
    stream_life_s: float = 900.0
    listener_write_s: float = 10.0
    """Who takes nothing of the public stream, or of a long document, for so long is cut off."""


NOBODY = Caller(account_id=0, code="", name="", type="", senders=(), kind_rules=(), rights=())
"""The caller of public routes."""
