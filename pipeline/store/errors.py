"""What can go wrong in a write, separated by what is to be done about it."""

from pipeline.errors import TidemarkError


class StoreAwayError(TidemarkError):
    """The store cannot do it now, whatever the documents are: wait and try again."""


class CommandFailedError(StoreAwayError):
    """The server answered the whole command with an error: about itself, or about one of the documents."""


class UnencodableError(TidemarkError):
    """At least one of the documents cannot be encoded for the store; nothing was sent."""


class TooLargeError(TidemarkError):
    """The documents together are too large for one command; nothing was sent."""
