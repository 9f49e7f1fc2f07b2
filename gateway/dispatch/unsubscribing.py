"""One click takes an address off the list of news and notices: from the token in the mail to the opt-out."""

from dataclasses import dataclass

from channels.email.unsubscribe import PLACEHOLDER, reference_of
from gateway.dispatch.references import delivery_of
from gateway.kinds import Kind
from store.engine.database import Database
from store.engine.turns import Turn
from store.register.unsubscribing import unsubscribe

LISTS = (Kind.NEWS, Kind.INFO)
"""What a mail has the link in, and what it takes the address off: all of these at once. Alerts and preventive messages
go on."""
PATH = "/unsubscribe/"


def link(public_url: str) -> str:
    """The link of a mail, with the token's place in it; empty where nobody outside could follow it."""
    return f"{public_url}{PATH}{PLACEHOLDER}" if public_url else ""


@dataclass(frozen=True, slots=True)
class Unsubscribing:
    database: Database
    generation: str
    key: bytes

    def is_ours(self, token: str) -> bool:
        return self._delivery(token) is not None

    async def __call__(self, token: str) -> bool:
        """Whether the address is off the list now. False for what is no token of ours."""
        delivery_id = self._delivery(token)
        if delivery_id is None:
            return False
        return await self.database.write(lambda tx: unsubscribe(tx, delivery_id, LISTS), turn=Turn.LAST)

    def _delivery(self, token: str) -> int | None:
        reference = reference_of(token, self.key)
        return delivery_of(reference, self.generation) if reference is not None else None
