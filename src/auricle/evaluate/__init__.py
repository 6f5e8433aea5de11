"""Evaluation: protocols write predictions files, and everything after them reads files.

`predictions` is the file format; `ranking` holds AUROC and average precision for thousands of weightings at once;
`metrics` turns one predictions file into one result.json with patient-bootstrap intervals; `probe` is the linear probe
and the ridge used to ask what features hold; `table` prints results beside published numbers.
"""
