"""Who an e-mail is from."""

import msgspec


class MailSender(msgspec.Struct, frozen=True, kw_only=True):
    """Who a mail is from, and where its bounces go."""

    name: str
    address: str
    message_id_domain: str
    bounce_domain: str
    """The domain of the return paths; the relays route it to the bounce intake."""
    bounce_key: bytes
    """Secret of the MAC in each return path."""
    reply_to: str = ""

    def __repr__(self) -> str:
        return f"Sender({self.name!r}, {self.address!r})"
