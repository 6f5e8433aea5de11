"""Explaining results to people: `figures` are pure functions of arrays, `page` puts them on one self-contained page."""
