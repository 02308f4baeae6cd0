r"""Text out of files, made safe for a person's terminal: one line, nothing invisible, nothing that steers it.

A text that is plain stays as it is. One with control, escape, bidirectional or other invisible characters is shown
as a JSON string with those characters as `\uXXXX`, and so is one that could be mistaken for such a string. The
document on stdout needs none of this: JSON is ASCII-escaped there.
"""

from __future__ import annotations

import sys

# Longer texts are cut: a terminal is for reading. The document has them whole.
MAX_CHARACTERS = 1000

_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escaped(text: str) -> str:
    r"""The text with every character that does not print as `\uXXXX`, as in JSON; quotes are left alone."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _SHORT.get(each) or _code_units(each) for each in text)


def _code_units(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def quoted(text: str) -> str:
    """The text as a JSON string that shows nothing invisible; letters of all scripts stay as they are."""
    return '"' + "".join(_SHORT.get(each) or escaped(each) for each in text) + '"'


def plain(text: str, limit: int = MAX_CHARACTERS) -> str:
    """The text as it is if that is safe and clear, else quoted; cut after `limit` characters, with its length."""
    cut = text[:limit]
    is_clear = cut.isprintable() and cut == cut.strip() and cut[:1] not in ("", '"')
    shown = cut if is_clear else quoted(cut)
    return shown if len(text) <= limit else f"{shown}… ({len(text)} characters)"


def complain(place: str | None, message: str) -> None:
    """One line on stderr: the program, the file or whatever is meant, and what is wrong with it."""
    where = "" if place is None else f"{plain(place)}: "
    say(f"exr-inspector: {where}{escaped(message[:MAX_CHARACTERS])}\n")


def say(text: str) -> None:
    """Writes to stderr in one piece. That nobody listens is no reason to stop."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        return
