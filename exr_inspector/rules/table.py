"""All rules, one row each. `docs/rules.md` shows the same table.

Severity: `error` where a reader rejects the file, at least in strict mode (levels R and S), else `warning`. It
says whether the file is valid; the severity of an entry in `errors` says what the flaw means for the document.
"""

from __future__ import annotations

from exr_inspector.rules import checks
from exr_inspector.rules.checks import of_header, of_parts, of_parts_and_flags
from exr_inspector.rules.records import Rule

LAYOUT = "OpenEXR File Layout"
CORE = "OpenEXRCore"

RULES: tuple[Rule, ...] = (
    # ---- The file
    Rule(
        "file.flags", "error", "R", f"{LAYOUT}, version field", "the tiled flag excludes deep and multipart",
        of_header(checks.flags), "flags_illegal",
    ),
    Rule(
        "file.parts", "error", "R", f"{LAYOUT}, multi-part", "a multipart file has at least one part",
        of_header(checks.has_parts), "no_parts",
    ),
    # ---- Attributes
    Rule(
        "attribute.required", "error", "R", f"{LAYOUT}, required attributes",
        "`channels`; `tiles` if tiled; `name` if multipart; `type` if multipart or deep",
        of_parts_and_flags(checks.attribute_required), "attribute_missing",
    ),
    Rule(
        "attribute.required_strict", "error", "S", f"{LAYOUT}, required attributes",
        "the other required attributes, for which lenient readers take a default",
        of_parts_and_flags(checks.attribute_required_strict), "attribute_missing",
    ),
    Rule(
        "attribute.type", "error", "S", f"{LAYOUT}, predefined attributes", "standard attributes have their type",
        of_parts(checks.attribute_type), "attribute_type",
    ),
    Rule(
        "attribute.duplicate_required", "error", "S", CORE, "a required attribute stands once in a part",
        of_parts(checks.attribute_duplicate_required), "attribute_duplicate",
    ),
    Rule(
        "attribute.duplicate", "warning", "N", LAYOUT, "every attribute stands once in a part",
        of_parts(checks.attribute_duplicate), "attribute_duplicate",
    ),
    # ---- Windows
    Rule(
        "window.inverted", "error", "R", CORE, "a window's maximum is not below its minimum",
        of_parts(checks.window_inverted), "window_inverted",
    ),
    # ---- Channels
    Rule(
        "channel.duplicate", "error", "R", CORE, "a channel stands once in its list",
        of_parts(checks.channel_duplicate), "channel_duplicate",
    ),
    # ---- Part types
    Rule(
        "part.type", "error", "R", f"{LAYOUT}, `type`", "in multipart and deep files `type` is one of the four",
        of_parts_and_flags(checks.part_type_known), "part_type_unknown",
    ),
)  # fmt: skip
