"""The OpenEXR and OpenImageIO wheels as oracles: their headers in the shape of our document's values.

`read_with_openexr` and `read_with_oiio` give each part's attributes by name, as plain Python values shaped like
the document's (`{"x", "y"}`, rows of matrices, base64 of bytes, …). `assert_same_as_openexr` and
`assert_same_as_oiio` compare a document with them, attribute by attribute and bit by bit: a single float is equal
only if it packs to the same four bytes.

Neither wheel shows a header as it is. What each is known to do otherwise stands in tables at the top of its
module, with the reason; a difference that is in no table fails the test. All are found out by experiment, with
OpenEXR 3.5.3 and OpenImageIO 3.2.2.

Hostile files may crash a wheel, and the process with it: use these for files that the wheels were made for.
"""

from tests.support.oracle_oiio import assert_same_as_oiio, read_with_oiio
from tests.support.oracle_openexr import assert_same_as_openexr, read_with_openexr
from tests.support.oracle_values import Refused, exact

__all__ = [
    "Refused",
    "assert_same_as_oiio",
    "assert_same_as_openexr",
    "exact",
    "read_with_oiio",
    "read_with_openexr",
]
