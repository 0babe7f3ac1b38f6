"""Whether a file is what its name and its sender say, and which media type it is stored with.

The content decides (:mod:`functions.storage.sniffing`); a name or an announcement that contradicts it is a reason to
refuse the file. Among kinds of plain text, which look alike, the name decides.
"""

from __future__ import annotations

import functools

from functions.storage.sniffing import HTML, JSON, OLE, PDF, PLAIN, SVG, TEXTS, UNKNOWN, XML, ZIP

#: Text by its name's ending: the type it is stored as, and what its content must then be found to be.
_TEXT_ENDINGS: dict[str, tuple[str, frozenset[str]]] = {
    "txt": (PLAIN, TEXTS),
    "log": (PLAIN, TEXTS),
    "csv": ("text/csv", TEXTS),
    "tsv": ("text/tab-separated-values", TEXTS),
    "md": ("text/markdown", TEXTS),
    "markdown": ("text/markdown", TEXTS),
    "yaml": ("application/yaml", TEXTS),
    "yml": ("application/yaml", TEXTS),
    "py": ("text/x-python", TEXTS),
    "js": ("text/javascript", TEXTS),
    "css": ("text/css", TEXTS),
    "html": (HTML, TEXTS),
    "htm": (HTML, TEXTS),
    "xml": (XML, frozenset({XML, SVG, HTML})),
    "svg": (SVG, frozenset({SVG})),
    "json": (JSON, frozenset({JSON})),
    "jsonl": ("application/jsonl", frozenset({JSON, PLAIN})),
    "ndjson": ("application/x-ndjson", frozenset({JSON, PLAIN})),
    "rtf": ("application/rtf", frozenset({"application/rtf"})),
}

_OLE_ENDINGS = {
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "msg": "application/vnd.ms-outlook",
}

_SPELLINGS = {"jpeg": "jpg", "jpe": "jpg", "tiff": "tif", "dib": "bmp"}

#: Names for one thing.
_ALIASES = {
    "text/xml": XML,
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-ms-bmp": "image/bmp",
    "application/x-pdf": PDF,
    "text/json": JSON,
    "application/x-zip-compressed": ZIP,
    "application/csv": "text/csv",
    "text/x-markdown": "text/markdown",
    "text/yaml": "application/yaml",
    "application/x-yaml": "application/yaml",
    "text/rtf": "application/rtf",
    "application/x-gzip": "application/gzip",
    "binary/octet-stream": UNKNOWN,
}


@functools.cache
def _signed() -> dict[str, frozenset[str]]:
    """Endings whose files have a signature, with the types they may be found to be."""
    import filetype

    found: dict[str, set[str]] = {}
    for kind in filetype.TYPES:
        found.setdefault(kind.extension, set()).add(kind.mime)
    found["png"].add("image/apng")
    return {ending: frozenset(types) for ending, types in found.items()}


def named(filename: str) -> str:
    """How the name ends, in small letters and one spelling; empty when it does not say."""
    ending = filename.rpartition(".")[2].lower() if "." in filename.lstrip(".") else ""
    return _SPELLINGS.get(ending, ending)


def settle(found: str, filename: str, declared: str | None) -> tuple[str, str | None]:
    """The media type that a file of this content and name is stored with, and what contradicts it, if anything does."""
    ending = named(filename)
    media_type, wrong = _by_ending(found, ending, declared)
    if wrong is None and declared is not None:
        said = _ALIASES.get(declared, declared)
        if said != UNKNOWN and not _agrees(said, media_type, found):
            wrong = f"It was announced as {declared}, and is {media_type}."
    return media_type, wrong


def _by_ending(found: str, ending: str, declared: str | None) -> tuple[str, str | None]:
    contradiction = f"Its name ends with .{ending}, and its content is {_said(found)}."
    if ending in _TEXT_ENDINGS:
        media_type, allowed = _TEXT_ENDINGS[ending]
        return (media_type, None) if found in allowed else (found, contradiction)
    if ending in _OLE_ENDINGS and found == OLE:
        return _OLE_ENDINGS[ending], None
    allowed = _signed().get(ending, frozenset())
    if allowed and found not in allowed:
        # Sound and film have more beginnings than any list: those that are not known are taken as bytes.
        unsure = found == UNKNOWN and all(kind.startswith(("audio/", "video/")) for kind in allowed)
        return found, None if unsure else contradiction
    if found == PLAIN and declared is not None:
        said = _ALIASES.get(declared, declared)
        if any(said == media_type and PLAIN in kinds for media_type, kinds in _TEXT_ENDINGS.values()) and said != HTML:
            return said, None
    return found, None


def _agrees(declared: str, media_type: str, found: str) -> bool:
    if declared in (media_type, found) or (declared == PLAIN and found in TEXTS and media_type not in (HTML, SVG)):
        return True
    if found == OLE:
        return declared in _OLE_ENDINGS.values()
    known = {kind for kinds in _signed().values() for kind in kinds} | {said for said, _ in _TEXT_ENDINGS.values()}
    # A type that nobody here could recognise is not contradicted by bytes that nobody recognised.
    return declared not in known and declared not in TEXTS and found in (UNKNOWN, PLAIN, ZIP, XML, JSON)


def _said(found: str) -> str:
    return "nothing that is known" if found == UNKNOWN else found


def admitted(media_type: str, patterns: tuple[str, ...]) -> bool:
    """Whether a bucket that takes these types (none: any) takes this one; ``image/*`` does not mean SVG, which runs."""
    if not patterns or media_type in patterns:
        return True
    return f"{media_type.partition('/')[0]}/*" in patterns and media_type != SVG
