"""What a report page must never do, found by parsing it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Collects elements, texts and faults of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        if self._open:
            self.faults.append(f"not closed: {self._open}")
        for address in re.findall(r"url\(([^)]*)\)", text):
            if not address.strip("\"'").startswith("#"):
                self.faults.append(f"loads {address}")

    @property
    def text(self) -> str:
        """All that can be read, with single spaces."""
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.elements.append((tag, values))
        if tag in ("script", "iframe", "object", "embed"):
            self.faults.append(f"has <{tag}>")
        for name, value in attrs:
            if name.startswith("on"):
                self.faults.append(f"<{tag}> has {name}")
            if name in ("src", "href", "srcset", "data") and not (value or "").startswith(
                ("data:", "#")
            ):
                self.faults.append(f"<{tag}> loads {value}")
            if name == "id":
                self.ids.append(value or "")
        if tag == "img" and not values.get("alt"):
            self.faults.append("a picture without a text")
        if values.get("role") == "img" and not values.get("aria-label"):
            self.faults.append(f"<{tag}> is a picture without a text")
        if tag == "th" and "scope" not in values:
            self.faults.append("a table header without scope")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each such element."""
        return [values for name, values in self.elements if name == tag]


def checked(text: str) -> Page:
    """The page, when it has no faults."""
    page = Page(text)
    assert page.faults == []
    assert len(page.ids) == len(set(page.ids)), "an id stands twice"
    return page
