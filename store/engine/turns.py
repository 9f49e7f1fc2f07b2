"""Whose turn it is to write."""

from enum import IntEnum


class Turn(IntEnum):
    """Who goes before whom, where one may write at a time."""

    FIRST = 0
    """Somebody's safety waits for it. It is durable as soon as it can be: nothing less urgent joins its commit."""
    USUAL = 1
    LAST = 2
    """Import, expansion, seal: it waits for all others, and takes some 20 ms at most, please."""
