"""Ids that stand in URLs."""

import secrets


def new_public_id() -> str:
    """An id of 80 random bits: it tells nothing and cannot be guessed."""
    return secrets.token_hex(10)
