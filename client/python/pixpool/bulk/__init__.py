"""Features of millions of images into one file, in constant memory, resumable after a kill.

    python -m pixpool.bulk photos/ --output features.parquet --head gem:l2

or `pixpool.bulk.run("photos/", "features.parquet", heads="gem:l2")`. Work is done in parts of some
hundred images, each written whole into `<output>.work`, and put together at the end; so a run that
is killed at any moment loses a part of work at most, and no image is lost or counted twice.
"""

from pixpool.bulk.errors import BulkError
from pixpool.bulk.job import Summary
from pixpool.bulk.launch import run

__all__ = ["BulkError", "Summary", "run"]
