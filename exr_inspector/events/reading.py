"""Event → deliveries."""

from __future__ import annotations

from typing import Any

from exr_inspector.events.delivery import Delivery


def deliveries(event: Any) -> list[Delivery]:
    """The files that an event asks for; one for each record of an S3 notification.

    `event`: a typed event of the platform (`get_data()`, `as_element_event()`), a CloudEvent of the `cloudevents`
    package, an envelope or a payload as a mapping, or JSON of one (str, bytes). Raises EventError
    (`event_not_understood`).
    """
    raise NotImplementedError
