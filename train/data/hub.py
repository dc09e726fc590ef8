"""A brief check that the Hugging Face hub answers, before libraries start to retry for minutes."""

import os
import threading
import urllib.error
import urllib.request

from dragoman.errors import UnavailableError

# Slow answers over bad lines arrive within this; the libraries' own attempts take minutes.
TIMEOUT_SECONDS = 6.0


def require_hub(wanted: str, *, instead: str) -> None:
    """Raise UnavailableError, within ten seconds, when the hub does not answer; ``instead`` says what else to give.

    With ``HF_HUB_OFFLINE`` set nothing is asked: the libraries then look into their cache alone.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    problem = ["no answer"]

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=TIMEOUT_SECONDS).close()  # noqa: S310 - the scheme is the user's own setting
        except urllib.error.HTTPError:
            pass  # any answer at all means that the hub is there
        except (OSError, ValueError) as error:
            problem[0] = str(getattr(error, "reason", error))
            return
        problem.clear()

    # A thread, because a name lookup knows no time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(TIMEOUT_SECONDS + 2)
    if problem:
        raise UnavailableError(
            f"cannot reach {endpoint} for {wanted} ({problem[0]}); give a local path instead: {instead}; "
            "or set HF_HUB_OFFLINE=1 to use what is in the cache"
        )
