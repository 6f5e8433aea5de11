"""Whole studies in one command: from a manifest, or from folders of data sets, to a page and a text for a paper."""
