"""How often Python looks for garbage in a process of our own. A library leaves that to its caller."""

from __future__ import annotations

import gc

# By default at every 700th object more. Documents are many objects and no cycles: looking for those as often takes a
# tenth of the time, and so it does at the start, when modules are made. It is looked for all the same, though less
# often, since a run may have a million files.
_OBJECTS = 100_000


def look_rarely() -> None:
    """For the process that calls it."""
    gc.set_threshold(_OBJECTS)
