"""The addressee of a mail takes their address off the list, by the link in it."""

import sqlalchemy as sa

from store.audit_line import Actor
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.register.opt_outs import OptOut, add_opt_outs
from store.tables import address, campaign, delivery

SOURCE = "one-click"
"""The opt-out's source: a click in a mail, or the button of its reader's program."""

_addressee = Prepared(
    sa.select(campaign.c.zone_id, address.c.id)
    .select_from(delivery)
    .join(campaign, campaign.c.id == delivery.c.id.bitwise_rshift(sa.literal_column("24")))
    .join(address, address.c.value == delivery.c.address)
    .where(
        delivery.c.id == sa.bindparam("delivery", type_=sa.BigInteger),
        delivery.c.channel == "email",
        campaign.c.zone_id.is_not(None),  # a notice is on nobody's list
    )
)


async def unsubscribe(tx: Transaction, delivery_id: int, kinds: tuple[str, ...]) -> bool:
    """Mails of these kinds are no longer sent to the address of that delivery, by its zone. Said again it changes
    nothing. False when there is no such mail, or its address is in no register any more."""
    row = await tx.first(_addressee, {"delivery": delivery_id})
    if row is None:
        return False
    wanted = [OptOut(kind, "email", address_id=row.id) for kind in kinds]
    await add_opt_outs(tx, row.zone_id, wanted, SOURCE, Actor(via="http"))
    return True
