"""XML from strangers: read only when small, shallow and without a document type.

Entities are declared in a document type, so without one there is nothing to
expand. The encoding that a document claims is not believed: it is read as
UTF-8, or "<!DOCTYPE" could hide in another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, cast

from tincan.nat.portmap.mapping import NoMapping

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # type only; the parser is loaded when there is something to parse

MAX_DEPTH: Final = 24
MAX_ELEMENTS: Final = 2000
_SLICE: Final = 1024  # bytes parsed between two looks at the depth


def parse(data: bytes, limit: int) -> Element:
    """Return the root of a document; raise `NoMapping`."""
    from xml.etree.ElementTree import ParseError, XMLPullParser

    if len(data) > limit:
        raise NoMapping("its XML is too long")
    text = data.decode("utf-8", "replace").strip("\ufeff\0 \t\r\n")
    shouted = text.upper()
    if "<!DOCTYPE" in shouted or "<!ENTITY" in shouted:
        raise NoMapping("its XML has a document type, which no router needs")
    if "\0" in text:  # which has the parser read UTF-16, whatever it was told
        raise NoMapping("its XML is no text")
    parser: XMLPullParser[Element] = XMLPullParser(["start", "end"])
    root: Element | None = None
    depth = elements = 0
    try:
        for position in range(0, len(text), _SLICE):
            parser.feed(text[position : position + _SLICE])
            for what in parser.read_events():
                event, element = cast("tuple[str, Element]", what)
                root = element if root is None else root
                depth += 1 if event == "start" else -1
                elements += event == "start"
                if depth > MAX_DEPTH or elements > MAX_ELEMENTS:
                    raise NoMapping("its XML is nested too deeply or too long")
        parser.close()
    except (ParseError, ValueError) as exc:
        raise NoMapping("its XML cannot be read") from exc
    if root is None:
        raise NoMapping("its XML is empty")
    return root


def name(element: Element) -> str:
    """Return an element's name without its namespace, which routers get wrong."""
    return str(element.tag).rpartition("}")[2]


def children(element: Element) -> dict[str, str]:
    """Return the texts of an element's children; a name that comes twice counts as it came first."""
    texts: dict[str, str] = {}
    for child in element:
        texts.setdefault(name(child), (child.text or "").strip())
    return texts


def named(root: Element, wanted: str) -> Iterator[Element]:
    """Yield all elements of that name, wherever they are."""
    return (element for element in root.iter() if name(element) == wanted)
