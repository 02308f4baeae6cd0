"""Files that write down what is asked of them."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


class CountingFile(io.RawIOBase):
    """A seekable file object; `reads` has (offset, bytes that came) of each read."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)
        self.reads: list[tuple[int, int]] = []

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def read(self, size: int = -1) -> bytes:  # type: ignore[override]
        offset = self._inner.tell()
        data = self._inner.read(size)
        self.reads.append((offset, len(data)))
        return data

    @property
    def bytes_read(self) -> int:
        """How many bytes came out, those that came twice counted twice."""
        return sum(size for _, size in self.reads)


class CountingStream(CountingFile):
    """A file object that cannot seek, as a pipe; `most` bytes come with one read at most."""

    def __init__(self, data: bytes, most: int = sys.maxsize) -> None:
        super().__init__(data)
        self._most = most

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: ARG002  # the base class names them
        raise io.UnsupportedOperation("seek")

    def tell(self) -> int:
        raise io.UnsupportedOperation("tell")

    def read(self, size: int = -1) -> bytes:  # type: ignore[override]
        return super().read(min(size, self._most) if size >= 0 else self._most)


def lines_run(call: Callable[[], Any], *files: str) -> int:
    """How many lines of these source files the call runs: work, counted the same on every machine."""
    lines = 0

    def count(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in files:
            return None
        lines += event == "line"
        return count

    tracer = sys.gettrace()
    sys.settrace(count)
    try:
        call()
    finally:
        sys.settrace(tracer)
    return lines
