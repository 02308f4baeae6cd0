"""The sides of each comparison: one function a reader, path in, plain Python values out, every value touched.

What one side gives for nothing and the other must convert is converted here, inside the measured time: arrays
become lists, enumerations their code and word, records their fields. Both sides touch the same fields.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from fractions import Fraction
from typing import Any

from exr_inspector import Limits, app, model, numbers
from exr_inspector.exr import attributes, compiled, layout

LIMITS = Limits()

Parts = list[list[tuple[str, Any]]]  # for each part its attributes: name, plain value


def forget() -> None:
    """Empties what the reader remembers of the files before: the next file is one of a kind."""
    compiled.decoders(LIMITS).forget()
    numbers.SINGLES.clear()


# ---- Ours --------------------------------------------------------------------------------------------------


def _our_list(value: tuple[Any, ...]) -> Any:
    if value and type(value[0]) is model.Channel:
        return [(each.name, each.pixel_type, each.p_linear, each.x_sampling, each.y_sampling) for each in value]
    return value


_OURS: dict[type, Callable[[Any], Any]] = {
    tuple: _our_list,
    model.Enumeration: lambda value: (value.code, value.name),
    model.Matrix: lambda value: value.rows,
    model.TimeCode: lambda value: (value.hours, value.minutes, value.seconds, value.frame, value.user_data),
    model.TileDescription: lambda value: (value.x_size, value.y_size, value.level_mode, value.rounding_mode),
    model.HintedBytes: lambda value: (value.type_hint, value.data),
    model.Preview: lambda value: value.rgba,
}


def _as_it_is(value: Any) -> Any:
    return value


def plain_of_ours(header: model.ExrHeader) -> Parts:
    """Every value of a header. Numbers, text and tuples of them are Python's own already."""
    plain = _OURS.get
    return [
        [(attribute.name, plain(type(attribute.value), _as_it_is)(attribute.value)) for attribute in part.attributes]
        for part in header.parts
    ]


def read_with_ours(path: str) -> Parts:
    return plain_of_ours(app.read_header(path))


def inspect(path: str) -> dict[str, Any]:
    """The document is plain Python; it is only walked, as the other side's attributes are."""
    document = app.inspect(path)
    for part in document["attributes"]["parts"]:
        for entry in part:
            _ = entry["name"], entry["type"], entry["value"]
    for channel in document["channels"]:
        _ = channel["name"], channel["type"]
    return document


# ---- construct, interpreted --------------------------------------------------------------------------------


def read_interpreted(path: str) -> Parts:
    """The same header by construct's own parsing: framing and values, without the compiled readers."""
    with open(path, "rb") as file:
        data = file.read(1 << 20)
    stream = io.BytesIO(data)
    start = layout.FileStart.parse_stream(stream)
    parts: Parts = []
    while True:
        part = list(_interpreted_part(stream, data))
        if part:
            parts.append(part)
        if not part or not start.version_field & layout.MULTIPART_FLAG:
            return parts


def _interpreted_part(stream: io.BytesIO, data: bytes) -> Iterator[tuple[str, Any]]:
    plain = _OURS.get
    while data[stream.tell()]:
        framed = layout.Attribute.parse_stream(stream)
        row = attributes.ATTRIBUTE_TYPES[framed.type_name.decode()]
        value = attributes.interpret(row, framed.value, LIMITS)
        yield framed.name.decode(), plain(type(value), _as_it_is)(value)
    stream.read(1)


# ---- The OpenEXR wheel -------------------------------------------------------------------------------------


def openexr_reader() -> Callable[[str], Parts]:
    """`OpenEXR.File(path, header_only=True)`, every value turned into Python's own. ImportError without it."""
    import OpenEXR  # noqa: PLC0415  # one of the sides that may be absent
    from numpy import ndarray  # noqa: PLC0415

    def listed(value: Any) -> Any:
        return value.tolist() if type(value) is ndarray else value

    def several(value: Any) -> Any:
        if value and type(value[0]) is OpenEXR.Channel:
            # The pixel type is not there with header_only: it hangs on the pixels.
            return [(each.name, each.pLinear, each.xSampling, each.ySampling) for each in value]
        return [listed(each) for each in value]

    def coded(value: Any) -> Any:
        return value.value, value.name

    plain: dict[type, Callable[[Any], Any]] = {
        ndarray: listed,
        tuple: several,
        list: several,
        OpenEXR.Compression: coded,
        OpenEXR.LineOrder: coded,
        OpenEXR.Envmap: coded,
        OpenEXR.Storage: coded,
        OpenEXR.TimeCode: lambda value: (value.hours, value.minutes, value.seconds, value.frame, value.userData),
        OpenEXR.KeyCode: lambda value: (
            value.filmMfcCode, value.filmType, value.prefix, value.count, value.perfOffset, value.perfsPerFrame,
            value.perfsPerCount,
        ),
        OpenEXR.TileDescription: lambda value: (
            value.xSize, value.ySize, coded(value.mode)[0], coded(value.roundingMode)[0],
        ),
        OpenEXR.PreviewImage: lambda value: value.pixels.tobytes(),
        OpenEXR.Bytes: lambda value: (value.type_hint, value.data),
        Fraction: lambda value: (value.numerator, value.denominator),
    }  # fmt: skip

    def read(path: str) -> Parts:
        with OpenEXR.File(path, header_only=True) as file:
            return [
                [(name, plain.get(type(value), _as_it_is)(value)) for name, value in part.header.items()]
                for part in file.parts
            ]

    return read


# ---- The OpenImageIO wheel ---------------------------------------------------------------------------------


def oiio_reader() -> Callable[[str], list[tuple[list[tuple[str, str, Any]], list[tuple[str, str]]]]]:
    """Opens a file, goes through all subimages, every attribute and channel. ImportError without the wheel."""
    import OpenImageIO  # noqa: PLC0415
    from numpy import ndarray  # noqa: PLC0415

    def read(path: str) -> list[tuple[list[tuple[str, str, Any]], list[tuple[str, str]]]]:
        file = OpenImageIO.ImageInput.open(path)
        if file is None:
            raise RuntimeError(OpenImageIO.geterror())
        parts = []
        while file.seek_subimage(len(parts), 0):
            spec = file.spec()
            found = []
            for each in spec.extra_attribs:
                value = each.value
                found.append((each.name, str(each.type), value.tolist() if type(value) is ndarray else value))
            formats = spec.channelformats or (spec.format,) * spec.nchannels
            parts.append((found, [(name, str(kind)) for name, kind in zip(spec.channelnames, formats, strict=True)]))
        file.close()
        return parts

    return read


# ---- Do the sides agree? -----------------------------------------------------------------------------------


def leaves(value: Any) -> Iterator[Any]:
    """The numbers, texts and bytes of a value; an enumeration is its code."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, (tuple, list)):
        for each in value:
            yield from leaves(each)
    else:
        yield value


def agreement(ours: Parts, theirs: Parts) -> dict[str, Any]:
    """How many attributes, channels and equal values each side touched.

    The wheel adds `type` to parts that have none, and gives words of its own to enumerations; of channels it
    does not tell the pixel type.
    """
    known = [{name for name, _ in part} for part in ours]
    kept = [
        [(name, value) for name, value in part if name != "type" or name in names]
        for names, part in zip(known, theirs, strict=True)
    ]
    equal = 0
    for our_part, their_part in zip(ours, kept, strict=True):
        their_values = dict(their_part)
        equal += sum(_same(name, value, their_values.get(name)) for name, value in our_part)
    return {
        "parts": [len(ours), len(theirs)],
        "attributes": [sum(map(len, ours)), sum(map(len, kept))],
        "channels": [_channel_count(ours), _channel_count(kept)],
        "equal_values": equal,
    }


def _channel_count(parts: Iterable[list[tuple[str, Any]]]) -> int:
    return sum(len(value) for part in parts for name, value in part if name == "channels")


_CODED = ("compression", "lineOrder", "envmap")


def _same(name: str, ours: Any, theirs: Any) -> bool:
    if name == "channels":
        ours = [(each[0], each[2], each[3], each[4]) for each in ours]
    elif name in _CODED:
        ours, theirs = ours[0], theirs[0]
    elif name == "proxyTiles":
        ours, theirs = ours[:2], theirs[:2]
    elif name == "type":
        theirs = theirs[1]
    return list(leaves(ours)) == list(leaves(theirs))
