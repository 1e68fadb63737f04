"""The one error of this package."""


class BulkError(Exception):
    """The job cannot go on, with what to do about it. What is done so far is kept."""
