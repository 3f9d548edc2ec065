"""Being stopped from outside, between two steps."""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager, ExitStack, nullcontext
from types import FrameType
from typing import Any


class StopRequest:
    """Turns the first Ctrl-C (or SIGTERM) into a wish; the second one interrupts at once."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> AbstractContextManager[Any]:
        """Inside, signals are heard; only the main thread can listen, others do nothing."""
        if threading.current_thread() is not threading.main_thread():
            return nullcontext()
        stack = ExitStack()
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, self._ask))
        return stack

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
