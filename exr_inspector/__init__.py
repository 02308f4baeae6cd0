"""exr-inspector: a pure-Python OpenEXR header reader that never reads a pixel.

    inspect(source, *, config=None, limits=None) -> dict     the document; failures are in it
    read_header(source, *, limits=None) -> ExrHeader         typed records; raises ExrError
    rebuild_header(document) -> bytes                        the header's exact bytes

Importing the package loads nothing else: everything heavy is loaded at the first use.
"""

from __future__ import annotations

from importlib import import_module

from exr_inspector.version import __version__

TYPE_CHECKING = False  # `typing` is most of what importing this package would cost
if TYPE_CHECKING:
    from typing import Any

    from exr_inspector.app import inspect as inspect
    from exr_inspector.app import read_header as read_header
    from exr_inspector.errors import ExrError as ExrError
    from exr_inspector.limits import Limits as Limits
    from exr_inspector.model import ExrHeader as ExrHeader
    from exr_inspector.normalizer import rebuild_header as rebuild_header

__all__ = ["ExrError", "ExrHeader", "Limits", "__version__", "inspect", "read_header", "rebuild_header"]

_HOMES = {
    "ExrError": "errors",
    "ExrHeader": "model",
    "Limits": "limits",
    "inspect": "app",
    "read_header": "app",
    "rebuild_header": "normalizer",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
