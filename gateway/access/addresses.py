"""The one form in which an account's mail address and mobile number are kept, searched and compared. Pure."""

from channels.email.address import MailboxRefused, normalise_mailbox
from channels.sms.numbers import PhoneRefused, normalise_phone


def normal_email(email: str) -> str:
    """Of an address without faults: one form for all spellings. Its local part is without case, too: two people whose
    addresses differ in nothing else are no two accounts."""
    read = normalise_mailbox(email)
    return "" if isinstance(read, MailboxRefused) else read.address.lower()


def normal_mobile(mobile: str) -> str:
    """Of a number without faults: E.164."""
    read = normalise_phone(mobile)
    return "" if isinstance(read, PhoneRefused) else read.e164
