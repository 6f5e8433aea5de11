"""Tables of a page between markers, `<!-- NAME -->` and `<!-- end of NAME -->`, made anew."""

from __future__ import annotations


def with_table(page: str, name: str, table: str) -> str:
    """A page with another table between the markers of a name.

    Raises:
        SystemExit: the page has no such markers.
    """
    begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"the page has no markers of {name!r}")
    return before + begin + "\n" + table + "\n" + end + after
