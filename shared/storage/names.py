"""What objects are called in Supabase Storage, which takes fewer characters than our keys have.

Apart from the store, for who only reads such a name (``schedule_tick``) needs no client.
"""

from __future__ import annotations

import re

_ALLOWED = r"[A-Za-z0-9_/!\-.*'() &$@=;:+,?]"
_ESCAPED = re.compile(
    rf"""
    !(?=[0-9A-F]{{2}})          # what would read as an escape
    | (?:^|(?<=/))/             # a slash that begins a key or follows one: the client drops it
    | /$                        # and one that ends it
    | (?:^|(?<=/))\.(?=\.?(?:/|$))  # the dot segments, which the client refuses
    | (?!{_ALLOWED}).           # what Storage refuses
    """,
    re.VERBOSE | re.DOTALL,
)


def name_of(key: str) -> str:
    """The name that an object has in Storage: ``!`` and two hex digits stand for a byte that it does not take."""
    return _ESCAPED.sub(lambda found: "".join(f"!{byte:02X}" for byte in found[0].encode()), key)


def key_of(name: str) -> str:
    """The key of the object with this name; a name that no key has is its own."""
    raw = re.sub(rb"!([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), name.encode())
    try:
        key = raw.decode()
    except UnicodeDecodeError:
        return name
    return key if name_of(key) == name else name
