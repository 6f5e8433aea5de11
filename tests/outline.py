"""What a page consists of, read by a parser that accepts no tag closed out of order."""

from __future__ import annotations

from html.parser import HTMLParser


class Outline(HTMLParser):
    """Elements, attributes and text of a page; fails on tags closed out of order."""

    VOID = frozenset({"meta", "img"})

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
