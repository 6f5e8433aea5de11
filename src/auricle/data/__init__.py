"""Data: from a data set on disk to batches. Sources, shards, ingest, store, corpus of reports, splits, loader."""
