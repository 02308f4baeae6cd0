"""What has happened to the file, by the event's type: S3's names, the platform's, and MinIO's.

Any kind of creation is read, and so is a type that nothing is known of: the file is there, or a 404 tells that it is
not. What removes a file, changes its tags only, or does not change it at all is skipped.

Sources: Amazon S3 User Guide, "Event notification types and destinations"; VAST, "Event publishing" and "Creating a
trigger" (ElementCreated, ElementDeleted, ElementTagCreated, ElementTagDeleted); MinIO, "Bucket notifications".
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Skipped(NamedTuple):
    """Types that are not read: words that stand in one step of the type, and why."""

    pattern: re.Pattern[str]
    reason: str


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern})\Z")


# A type is steps of words: `vastdata.com:Element.ElementTagCreated`, `s3:ObjectCreated:PutTagging`. Held against each
# step in lower case, without blanks, dashes and underscores; the first that matches tells why.
SKIPPED: tuple[Skipped, ...] = (
    Skipped(_words("testevent"), "a test event: notifications were switched on"),
    Skipped(
        _words("(?:object|element)tag.*|(?:put|delete|post|get)(?:object)?tagging"),
        "the file's tags changed, not the file",
    ),
    Skipped(_words("(?:object|element)(?:removed|deleted)|lifecycleexpiration"), "the file was removed"),
    Skipped(_words("reducedredundancylostobject"), "the file was lost"),
    Skipped(
        _words("objectacl|(?:put|get)(?:retention|legalhold)|objectrestore|lifecycletransition|intelligenttiering"),
        "the file's storage or rights changed, not the file",
    ),
    Skipped(_words("replication|objectreplication"), "the file was copied elsewhere"),
    Skipped(_words("objectaccessed"), "the file was only read"),
)

_STEPS = re.compile(r"[.:/]")
_IGNORED = str.maketrans("", "", " -_")


def reason_to_skip(event_type: str) -> str | None:
    """Why an event of that type asks for no file to be read; None if it does, or may."""
    steps = _STEPS.split(event_type.lower().translate(_IGNORED))
    return next((rule.reason for rule in SKIPPED if any(rule.pattern.match(step) for step in steps)), None)
