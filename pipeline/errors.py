"""Every error that this package raises on purpose, as one tree.

TidemarkError
├── UsageError              the caller can fix it: bad setting, bad argument (exit 2)
│   └── SettingError        names the setting, the value and the remedy
├── MissingPartError        a server, a binary or a file is not there (exit 2)
├── ProvisionError          a server answers, and refuses a topic or an index (exit 2)
├── ProcessFailedError      a process that we started ended, or was not ready in time (exit 3)
├── InvalidEventError       one event is not what we promise to take (HTTP 400, or a dead letter)
├── UnavailableError        try again later: the bound is reached or Kafka is away (HTTP 503)
└── CorruptLogError         a record log is damaged, and not only torn at its end
"""


class TidemarkError(Exception):
    """Base of all. ``exit_code`` is what a command line that ends with it exits with."""

    exit_code = 3


class UsageError(TidemarkError):
    """What the user asked for is not possible; the message says how to fix it."""

    exit_code = 2


class SettingError(UsageError):
    """A setting's value cannot be used."""

    def __init__(self, setting: str, value: object, remedy: str) -> None:
        """``setting`` as the user wrote it, ``value`` as found, ``remedy`` a full clause."""
        super().__init__(f"{setting}={value!r} cannot be used: {remedy}")
        self.setting = setting
        self.value = value
        self.remedy = remedy


class MissingPartError(TidemarkError):
    """A part that the command needs is not on this machine or not reachable."""

    exit_code = 2


class ProvisionError(TidemarkError):
    """A server is there, but did not return what the pipeline needs of it."""

    exit_code = 2


class ProcessFailedError(TidemarkError):
    """A process that we started ended before its time, or did not come up in time; names its log."""


class InvalidEventError(TidemarkError):
    """One event is refused. ``code`` is stable and short, the message names the field and why."""

    def __init__(self, code: str, message: str) -> None:
        """``code`` for programs, ``message`` for people."""
        super().__init__(message)
        self.code = code


class UnavailableError(TidemarkError):
    """Not now: nothing was accepted. ``retry_after_s`` is when to try again."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        """``retry_after_s``: whole seconds, at least 1."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CorruptLogError(TidemarkError):
    """A record log holds a block that is damaged, not only torn at the log's end."""
