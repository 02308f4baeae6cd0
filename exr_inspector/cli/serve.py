"""`exr-inspector serve`: answers events by HTTP: reads headers of objects, and writes them to VAST DataBase."""

from __future__ import annotations

import argparse
import signal
from importlib import import_module
from typing import Any

from exr_inspector.cli.escape import complain
from exr_inspector.cli.status import DONE, FATAL, INTERRUPTED, UsageError
from exr_inspector.config_function import FunctionSettings, function_settings
from exr_inspector.errors import ExrError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--host", type=_host, help="the address to listen on, 127.0.0.1 by default (EXR_INSPECTOR_HOST)"
    )
    parser.add_argument("--port", type=_port, help="the port, 8080 by default (EXR_INSPECTOR_PORT); 0: any free one")


def run(options: argparse.Namespace) -> int:
    """Runs the command until a signal comes; returns the exit status. Raises UsageError."""
    try:
        return _served(_loaded(), _settings(options))
    except ExrError as error:  # a setting that makes no sense, or needs what is not installed
        raise UsageError(str(error)) from error


def _settings(options: argparse.Namespace) -> FunctionSettings:
    """What the environment says; what the command line says comes first."""
    given = {name: getattr(options, name) for name in ("host", "port") if getattr(options, name) is not None}
    return function_settings()._replace(**given)


def _loaded() -> Any:
    try:
        import_module("cloudevents")  # needed with the first event only
        return import_module("exr_inspector.serve.server")
    except ImportError as error:
        if (error.name or "").startswith("exr_inspector"):
            raise
        package = (error.name or "a package").partition(".")[0]
        raise UsageError(f"{package} is missing: pip install 'exr-inspector[serve]'") from error


def _served(server: Any, settings: FunctionSettings) -> int:
    try:
        listening = server.listen(settings.host, settings.port)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]  # behind it Python repeats the address
        complain(None, f"cannot listen on {settings.host}, port {settings.port}: {reason}")
        return FATAL
    with listening:
        return DONE if server.serve(settings, listening) == signal.SIGTERM else INTERRUPTED


def _host(text: str) -> str:
    if text.strip():
        return text.strip()
    raise argparse.ArgumentTypeError("an address is needed: an empty one would be all of the machine's")


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535:
        return int(text)
    raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
