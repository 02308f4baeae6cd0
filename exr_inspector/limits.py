"""Every bound on hostile input: its name, its value, and why that value.

Checks come before allocation. A limit that is met by a whole file raises `errors.LimitExceeded`; one that is met
by a single value leaves that value as bytes and adds a problem.
"""

from __future__ import annotations

from typing import NamedTuple

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


class Limits(NamedTuple):
    """The bounds of one call; `Limits()._replace(max_header_bytes=…)` for others."""

    # Cryptomatte manifests of 100 MB are real; ten times that is not, and must fit in memory several times.
    max_header_bytes: int = GIB
    # Compositors write one part per layer and view: hundreds. Every part costs a record and a table.
    max_parts: int = 1 << 14
    # Over all parts. Renderers write up to some thousands a part; at about 1 KB a piece this bounds memory.
    max_attributes: int = 1 << 18
    # The format allows 255. Longer ones must still be walked over, or all that follows is lost.
    max_name_bytes: int = 4 * KIB
    # Of one list. Deep AOV stacks have a few hundred channels.
    max_channels: int = 1 << 16
    # Elements of one collection (floats, strings, ids); larger ones stay base64.
    max_elements: int = 1 << 20
    # Elements of all collections of a header: each costs some hundred bytes as a record and in the document.
    max_header_elements: int = 1 << 21
    # Over all parts: 16 times the reference's limit for one part; 128 MiB of offset table.
    max_chunks: int = 1 << 24
    # What one idmanifest may inflate to, and what its prefix-coded strings may expand to.
    max_id_manifest_bytes: int = 64 * MIB
    # Entries of the document's `errors`; a file that is nothing but flaws must not grow a document of them.
    max_problems: int = 1000


DEFAULT_LIMITS = Limits()

# The first read of a file. Most production headers are below this, and so is header plus offset table of an
# uncompressed 4K frame, so that the bytes read never exceed what the header and the tables hold by much.
FIRST_READ_BYTES = 16 * KIB

# Policies are files that others write: a studio's runs to some kilobytes and tens of entries.
MAX_POLICY_BYTES = MIB
MAX_POLICY_ENTRIES = 256
MAX_POLICY_TEXT = 256
# What a pattern of a policy is held against; longer text matches no pattern. Matching is linear in it.
MAX_MATCHED_TEXT = 64 * KIB

# Events: the platform's are some kilobytes, brokers carry 1 MiB by default, batches are larger. Parsed, JSON may take
# twenty times its size.
MAX_EVENT_BYTES = 16 * MIB
# Records of one S3 notification, events of one HTTP batch. S3 sends one record, MinIO and Kafka some.
MAX_EVENT_RECORDS = 1000
# The envelope within the envelope: two are seen, `data` of `data`.
MAX_EVENT_NESTING = 8
# Texts of an event that are kept: attributes, keys (S3 allows 1,024 bytes), paths.
MAX_EVENT_TEXT = 4 * KIB
MAX_EVENT_ATTRIBUTES = 64
# HTTP servers allow 8 to 64 KiB of headers.
MAX_EVENT_HEADERS = 256
MAX_EVENT_HEADER_CHARACTERS = 64 * KIB
