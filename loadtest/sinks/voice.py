"""What left on the simulated trunk: reads the file in which it writes down every call start (`dump` of its settings).

There is no engine for real calls yet, so the trunk lives inside the gateway; its file is still its own account, one
line a start written before any answer to it, and not the gateway's counters.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from channels.simulated.carrier import Arrival

_decoder = msgspec.json.Decoder(Arrival)


def starts(path: Path) -> Iterator[Arrival]:
    """Every call start in the order of the file; none when there is no file. A line that is being written is left."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield _decoder.decode(line)
