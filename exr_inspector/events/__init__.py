"""What the platform or a person sends, as deliveries: one for each file that an event asks for.

`from_http` turns a request into events, `deliveries` an event into deliveries; `allowed` says whether one may be
read, and `open_allowed` opens a local file that may.
"""

from __future__ import annotations

from exr_inspector.events.delivery import Delivery, EventError
from exr_inspector.events.http import from_http
from exr_inspector.events.permission import allowed, open_allowed
from exr_inspector.events.reading import deliveries

__all__ = ["Delivery", "EventError", "allowed", "deliveries", "from_http", "open_allowed"]
