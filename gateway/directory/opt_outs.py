"""Opt-outs as bits: one for each pair of kind and channel, so that a column of them answers for everyone at once."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from channels.contract import Channel
from gateway.directory.audience import CHANNELS
from gateway.kinds import KINDS, Kind
from store.register.opt_outs import EVERY

Bits = npt.NDArray[np.uint16]

WISH_BITS = {
    (kind, channel): 1 << place
    for place, (kind, channel) in enumerate((kind, channel) for kind in Kind for channel in CHANNELS)
}
KIND_BITS = {kind: sum(WISH_BITS[kind, channel] for channel in CHANNELS) for kind in Kind}
"""The bits of a kind on every channel."""
FREE_KINDS = tuple(kind for kind in Kind if KINDS[kind].opt_outs_count)
"""Those that nobody has to receive."""


def bits_of(wishes: Sequence[tuple[str, str]]) -> Bits:
    """The bits of each pair of words; a word that is no kind or channel of this version stands for none that is."""
    return np.array([_bits(kind, channel) for kind, channel in wishes] or [0], dtype=np.uint16)


def _bits(kind_word: str, channel_word: str) -> int:
    return sum(
        bit
        for (kind, channel), bit in WISH_BITS.items()
        if kind_word in (EVERY, kind) and channel_word in (EVERY, channel)
    )


def counting(kind: Kind, channel: Channel) -> np.uint16:
    """The bit that withholds such a message; none where no opt-out counts (invariant 5)."""
    return np.uint16(WISH_BITS[kind, channel] if KINDS[kind].opt_outs_count else 0)
