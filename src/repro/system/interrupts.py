"""What Ctrl-C and a polite kill do to a run."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stop:
    """Set by the first interrupt: the trial under way is finished, none is started."""

    requested: bool = False


def listen(stop: Stop, say: Callable[[str], None]) -> None:
    """The first Ctrl-C lets the trial finish, the second ends it at once; SIGTERM is as the second."""

    def interrupted(number: int, _: FrameType | None) -> None:
        if number == signal.SIGTERM or stop.requested:
            raise KeyboardInterrupt
        stop.requested = True
        say("finishing this trial; press Ctrl-C again to stop at once")

    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
