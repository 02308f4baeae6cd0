"""For processes that a test interrupts."""

from __future__ import annotations

import signal


def heed_interrupts() -> None:
    """A `preexec_fn`. Whoever runs the tests in the background has them ignore SIGINT, and a child inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
