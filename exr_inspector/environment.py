"""The process's environment: the only place that reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping


def variables() -> Mapping[str, str]:
    """The environment variables as they are now. A variable that is empty counts as not set, for all readers."""
    return os.environ
