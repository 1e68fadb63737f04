"""The one exception that the exporter raises on purpose."""


class ExportError(Exception):
    """A bundle cannot be made; the message says why and what to do."""


def brief(error: BaseException) -> str:
    """First line of an error's text, for use inside a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
