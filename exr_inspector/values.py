"""An attribute's value as JSON, and back to the payload's bytes.

`CODECS` has one row for each attribute type: how the value becomes JSON, whether that JSON gives the payload back
bit by bit, and how it is packed again. Types without a row, and values that could not be decoded, are base64.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from math import isfinite
from typing import Any, NamedTuple

from exr_inspector import model
from exr_inspector.numbers import double, integer, number_of, single

Number = Callable[[Any], Any]


def encode_bytes(data: bytes) -> dict[str, str]:
    """Bytes as JSON."""
    return {"encoding": "base64", "data": to_base64(data)}


def to_base64(data: bytes) -> str:
    """Base64 text (RFC 4648, section 4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def from_base64(text: str) -> bytes:
    """The bytes of base64 text. Raises ValueError."""
    return base64.b64decode(text, validate=True)


# ---- Values to JSON ----------------------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


def _vector2(number: Number) -> Callable[[model.V2], dict[str, Any]]:
    return lambda value: {"x": number(value[0]), "y": number(value[1])}


def _vector3(number: Number) -> Callable[[model.V3], dict[str, Any]]:
    return lambda value: {"x": number(value[0]), "y": number(value[1]), "z": number(value[2])}


def _single_box(value: model.Box2) -> dict[str, Any]:
    (x_min, y_min), (x_max, y_max) = value
    return {"min": {"x": single(x_min), "y": single(y_min)}, "max": {"x": single(x_max), "y": single(y_max)}}


def int_box(value: model.Box2) -> dict[str, Any]:
    """A box2i as JSON."""
    (x_min, y_min), (x_max, y_max) = value
    return {"min": {"x": x_min, "y": y_min}, "max": {"x": x_max, "y": y_max}}


def _matrix(number: Number) -> Callable[[model.Matrix], list[list[Any]]]:
    return lambda value: [list(map(number, row)) for row in value[0]]


_point = _vector2(single)


def _chromaticities(value: model.Chromaticities) -> dict[str, Any]:
    return {name: _point(point) for name, point in zip(value._fields, value, strict=True)}


def _fields(value: Any) -> dict[str, Any]:
    return dict(zip(value._fields, value, strict=True))


def _enumeration(value: model.Enumeration) -> str:
    return value.name


def _key_code(value: model.KeyCode) -> dict[str, Any]:
    return {"raw": list(value), **_fields(value)}


_TIME_CODE_FIELDS = (
    "hours", "minutes", "seconds", "frame", "drop_frame", "color_frame", "field_phase", "bgf0", "bgf1", "bgf2",
)  # fmt: skip


def _time_code(value: model.TimeCode) -> dict[str, Any]:
    entry = _time_code_fields(value).copy()
    entry["binary_groups"] = list(value.binary_groups)
    return entry


@lru_cache(maxsize=256)  # all parts of a frame have the same one
def _time_code_fields(value: model.TimeCode) -> dict[str, Any]:
    return {**_fields(value), **{name: getattr(value, name) for name in _TIME_CODE_FIELDS}}


def _tile_description(value: model.TileDescription) -> dict[str, Any]:
    return {
        "x_size": value.x_size,
        "y_size": value.y_size,
        "level_mode": value.level_mode,
        "rounding_mode": value.rounding_mode,
    }


def _preview(value: model.Preview) -> dict[str, Any]:
    return {"width": value.width, "height": value.height, "rgba": to_base64(value.rgba)}


def _hinted_bytes(value: model.HintedBytes) -> dict[str, Any]:
    return {**encode_bytes(value.data), "type_hint": value.type_hint}


def _channels(value: Sequence[model.Channel]) -> list[dict[str, Any]]:
    names = model.PIXEL_TYPE_NAMES
    return [
        {
            "name": name,
            "type": names[pixel_type] if 0 <= pixel_type < 3 else model.code_name(names, pixel_type),
            "p_linear": p_linear != 0,
            "x_sampling": x_sampling,
            "y_sampling": y_sampling,
        }
        for name, pixel_type, p_linear, _, x_sampling, y_sampling in value
    ]


def _id_manifest(value: model.IdManifest) -> dict[str, Any]:
    return {"strings": list(value.strings), "groups": [_id_manifest_group(group) for group in value.groups]}


def _id_manifest_group(group: model.IdManifestGroup) -> dict[str, Any]:
    return {
        "channels": list(group.channels),
        "components": list(group.components),
        "lifetime": model.code_name(model.LIFETIME_NAMES, group.lifetime),
        "hash_scheme": group.hash_scheme,
        "encoding_scheme": group.encoding_scheme,
        "id_coding": group.id_coding,
        "ids": [{"id": integer(entry.id), "text": list(entry.text)} for entry in group.entries],
    }


# ---- Does the JSON give the payload back? ------------------------------------------------------------------
# Each is asked with the value and the payload. Most types always do; the rows below name those that may not.


def _is_finite(value: float, _payload: bytes) -> bool:
    return isfinite(value)


def _vector_is_finite(value: Sequence[float], _payload: bytes) -> bool:
    return all(map(isfinite, value))


def _rows_are_finite(value: model.Matrix, _payload: bytes) -> bool:
    return all(map(isfinite, chain.from_iterable(value.rows)))


# Single floats never add up to an infinity in double precision: one look at their sum tells, in half the time.


def _are_finite_singles(value: Sequence[float], payload: bytes) -> bool:
    return isfinite(sum(value)) and 4 * len(value) == len(payload)


def _records_are_finite_singles(value: Sequence[Sequence[float]], _payload: bytes) -> bool:
    return isfinite(sum(map(sum, value)))


def _rows_are_finite_singles(value: model.Matrix, _payload: bytes) -> bool:
    return isfinite(sum(map(sum, value.rows)))


def _is_same_text(value: str, payload: bytes) -> bool:
    # Decoding is strict, so only a replacement character can stand for other bytes.
    return "\ufffd" not in value or value.encode() == payload


def _is_same_encoding(pack: Callable[[Any], bytes], encode: Callable[[Any], Any]) -> Callable[[Any, bytes], bool]:
    return lambda value, payload: pack(encode(value)) == payload


_CHANNEL_FIXED_BYTES = 1 + 16  # the name's NUL; type, pLinear, reserved, samplings
_NO_RESERVED = b"\0\0\0"


def _are_plain_channels(value: Sequence[model.Channel], payload: bytes) -> bool:
    size = 1
    for name, _, p_linear, reserved, _, _ in value:
        if p_linear > 1 or reserved != _NO_RESERVED:
            return False
        size += _CHANNEL_FIXED_BYTES + (len(name) if name.isascii() else len(name.encode()))
        if "\ufffd" in name:
            return _pack_channels(_channels(value)) == payload
    return size == len(payload) and payload[-1] == 0


def _never(_value: Any, _payload: bytes) -> bool:
    return False


# ---- JSON to payload ---------------------------------------------------------------------------------------


def _packer(format_: str) -> Callable[[Any], bytes]:
    """Packs the numbers of a JSON value, depth first in order."""
    run = struct.Struct("<" + format_)
    return lambda value: run.pack(*_leaves(value))


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list):
        return [number_of(value)]
    return [leaf for each in value for leaf in _leaves(each)]


def _pack_fields(format_: str, *names: str) -> Callable[[Mapping[str, Any]], bytes]:
    """Packs the named fields of a JSON object."""
    run = struct.Struct("<" + format_)

    def pack(value: Mapping[str, Any]) -> bytes:
        return run.pack(*(value[name] for name in names))

    return pack


def code_of(names: tuple[str, ...], word: str) -> int:
    """The code of an enumeration's word. Raises ValueError."""
    if word.startswith("unknown(") and word.endswith(")"):
        return int(word[8:-1])
    return names.index(word)


def _pack_code(names: tuple[str, ...]) -> Callable[[str], bytes]:
    return lambda word: bytes([code_of(names, word)])


def _pack_tile_description(value: Mapping[str, Any]) -> bytes:
    level = code_of(model.LEVEL_MODE_NAMES, value["level_mode"])
    rounding = code_of(model.ROUNDING_MODE_NAMES, value["rounding_mode"])
    return struct.pack("<IIB", value["x_size"], value["y_size"], rounding << 4 | level)


def _pack_preview(value: Mapping[str, Any]) -> bytes:
    return struct.pack("<II", value["width"], value["height"]) + from_base64(value["rgba"])


def _pack_hinted_bytes(value: Mapping[str, Any]) -> bytes:
    hint: bytes = value["type_hint"].encode()
    return struct.pack("<I", len(hint)) + hint + from_base64(value["data"])


def _pack_strings(value: Sequence[str]) -> bytes:
    texts = [text.encode() for text in value]
    return b"".join(struct.pack("<i", len(text)) + text for text in texts)


def _pack_channels(value: Sequence[Mapping[str, Any]]) -> bytes:
    records = [
        channel["name"].encode()
        + b"\0"
        + struct.pack(
            "<iB3xii",
            code_of(model.PIXEL_TYPE_NAMES, channel["type"]),
            channel["p_linear"],
            channel["x_sampling"],
            channel["y_sampling"],
        )
        for channel in value
    ]
    return b"".join(records) + b"\0"


def _pack_floats(value: Sequence[Any]) -> bytes:
    return struct.pack(f"<{len(value)}f", *map(number_of, value))


# ---- The table ---------------------------------------------------------------------------------------------


class Codec(NamedTuple):
    """One attribute type. `is_exact` None: the JSON always gives the payload back. `pack` None: never."""

    encode: Callable[[Any], Any]
    is_exact: Callable[[Any, bytes], bool] | None
    pack: Callable[[Any], bytes] | None


def _enumerated(names: tuple[str, ...]) -> Codec:
    return Codec(_enumeration, None, _pack_code(names))


CODECS: dict[str, Codec] = {
    "box2f": Codec(_single_box, _records_are_finite_singles, _packer("4f")),
    "box2i": Codec(int_box, None, _packer("4i")),
    "bytes": Codec(_hinted_bytes, _is_same_encoding(_pack_hinted_bytes, _hinted_bytes), _pack_hinted_bytes),
    "chlist": Codec(_channels, _are_plain_channels, _pack_channels),
    "chromaticities": Codec(_chromaticities, _records_are_finite_singles, _packer("8f")),
    "compression": _enumerated(model.COMPRESSION_NAMES),
    "deepImageState": _enumerated(model.DEEP_IMAGE_STATE_NAMES),
    "double": Codec(double, _is_finite, _packer("d")),
    "envmap": _enumerated(model.ENVMAP_NAMES),
    "float": Codec(single, _is_finite, _packer("f")),
    "floatvector": Codec(lambda value: list(map(single, value)), _are_finite_singles, _pack_floats),
    "idmanifest": Codec(_id_manifest, _never, None),
    "int": Codec(_same, None, _packer("i")),
    "keycode": Codec(_key_code, None, _pack_fields("7i", *model.KeyCode._fields)),
    "lineOrder": _enumerated(model.LINE_ORDER_NAMES),
    "m33d": Codec(_matrix(double), _rows_are_finite, _packer("9d")),
    "m33f": Codec(_matrix(single), _rows_are_finite_singles, _packer("9f")),
    "m44d": Codec(_matrix(double), _rows_are_finite, _packer("16d")),
    "m44f": Codec(_matrix(single), _rows_are_finite_singles, _packer("16f")),
    "preview": Codec(_preview, None, _pack_preview),
    "rational": Codec(_fields, None, _pack_fields("iI", *model.Rational._fields)),
    "string": Codec(_same, _is_same_text, lambda value: value.encode()),
    "stringvector": Codec(list, _is_same_encoding(_pack_strings, list), _pack_strings),
    "tiledesc": Codec(_tile_description, None, _pack_tile_description),
    "timecode": Codec(_time_code, None, _pack_fields("II", *model.TimeCode._fields)),
    "v2d": Codec(_vector2(double), _vector_is_finite, _packer("2d")),
    "v2f": Codec(_vector2(single), _vector_is_finite, _packer("2f")),
    "v2i": Codec(_vector2(_same), None, _packer("2i")),
    "v3d": Codec(_vector3(double), _vector_is_finite, _packer("3d")),
    "v3f": Codec(_vector3(single), _vector_is_finite, _packer("3f")),
    "v3i": Codec(_vector3(_same), None, _packer("3i")),
}
