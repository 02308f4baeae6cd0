"""The handler file that `vastde functions build` looks for: `init` once for each container, `handler` for each event.

Where the platform is to hand over batches, it wants a handler that says so: name `batches` instead.

    handler = batches
"""

from exr_inspector.dataengine import batch_handler, handler, init
from exr_inspector.garbage import look_rarely

__all__ = ["batches", "handler", "init"]

look_rarely()

try:
    from vast.dataengine.sdk import event_batching_handler  # the platform's runtime has it; PyPI has not
except ImportError:
    batches = batch_handler
else:
    batches = event_batching_handler(batch_handler)
