"""The one exception tree, with the exit status (for a shell) and HTTP status (for a client) of each branch.

::

    DragomanError
    ├── ConfigError        64   a setting or command line is wrong
    ├── DataError          65   a corpus or input file is missing, empty, unaligned or unreadable
    ├── InvalidInput       65   a request or a text is not acceptable; HTTP 400, 413, 415 or 422
    ├── UnavailableError   69   a hub, tracking server or database is out of reach; HTTP 503
    ├── InferenceError     70   the engine failed; HTTP 500
    ├── OutputError        73   a result cannot be written where it was asked for
    └── BundleError        78   a bundle is missing, malformed or altered

The exit statuses are those of BSD's sysexits.h; 130 stands for an interrupt and 143 for SIGTERM, as in shells.
A message says what is wrong, the value seen, what is accepted and what to do.
"""

import signal
import sys
import traceback
from collections.abc import Callable
from typing import ClassVar, NoReturn


class DragomanError(Exception):
    """Any failure that Dragoman explains; ``field`` names the request field or setting at fault."""

    exit_code: ClassVar[int] = 70
    default_code: ClassVar[str] = "internal_error"
    statuses: ClassVar[dict[str, int]] = {"internal_error": 500}

    def __init__(self, message: str, *, field: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.code = code or self.default_code

    @property
    def status(self) -> int:
        """The HTTP status of this error's code."""
        return self.statuses[self.code]


class ConfigError(DragomanError):
    """A wrong setting or command line."""

    exit_code = 64


class DataError(DragomanError):
    """A corpus or an input file that is missing, empty, unaligned or unreadable."""

    exit_code = 65


class InvalidInput(DragomanError):
    """A request, or one text of it, that is not acceptable."""

    exit_code = 65
    default_code = "invalid_input"
    statuses = {  # noqa: RUF012 - the base class declares it a ClassVar
        "malformed_json": 400,
        "invalid_input": 400,
        "not_found": 404,
        "method_not_allowed": 405,
        "body_too_large": 413,
        "text_too_long": 413,
        "image_too_large": 413,
        "unsupported_media_type": 415,
        "unsupported_image": 415,
        "unprocessable_text": 422,
        "damaged_image": 422,
    }


class UnavailableError(DragomanError):
    """A needed service that does not answer, or has no room for another request now."""

    exit_code = 69
    default_code = "not_ready"
    statuses = {"not_ready": 503, "overloaded": 503, "deadline_exceeded": 504}  # noqa: RUF012


class InferenceError(DragomanError):
    """A failure of the engine on acceptable input."""

    exit_code = 70


class OutputError(DragomanError):
    """A result that cannot be written where it was asked for."""

    exit_code = 73


class BundleError(DragomanError):
    """A bundle that is missing, malformed, or differs from its manifest."""

    exit_code = 78


def run_cli(main: Callable[[], int | None]) -> NoReturn:
    """Run a command, print an error as one line on standard error, and exit with its status.

    SIGTERM ends the command as an interrupt does, so that servers it started are stopped, with status 143. An error
    that nobody foresaw prints its traceback and exits with 70, since 1 means that a gate or a comparison said no.
    """

    def terminate(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, terminate)
    try:
        status = main() or 0
    except DragomanError as error:
        print(f"error: {error}", file=sys.stderr)
        status = error.exit_code
    except SystemExit as stop:
        # argparse ends with 2 for a wrong command line, which has a status of its own here.
        status = ConfigError.exit_code if stop.code == 2 else stop.code  # type: ignore[assignment]
    except BrokenPipeError:
        # The reader (head, say) has gone; closing standard error keeps the interpreter from complaining at exit.
        sys.stderr.close()
        status = 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except Exception:
        traceback.print_exc()
        status = DragomanError.exit_code
    sys.exit(status)
