"""The check that a delivery comes from our MLflow server and from this moment: its HMAC, time and identity."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping

from dragoman.errors import DragomanError

ID_HEADER = "x-mlflow-delivery-id"
TIME_HEADER = "x-mlflow-timestamp"
SIGNATURE_HEADER = "x-mlflow-signature"
# No dot may stand in either: "id.time.body" is signed, which can be split in only one way then.
# The id also becomes a file's name.
DELIVERY_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
TIMESTAMP = re.compile(r"[0-9]{1,12}")
# The clocks of two machines may differ by this much.
AHEAD_S = 5
# The greatest age that --max-age may allow; the journal must know every delivery that could come again.
MAX_AGE_LIMIT_S = 3600.0


class UnauthorizedError(DragomanError):
    """A delivery is not signed with our secret, or is not of this moment."""

    exit_code = 65
    default_code = "unauthorized"
    statuses = {"unauthorized": 401}  # noqa: RUF012 - the base class declares it a ClassVar


def check_delivery(headers: Mapping[str, str], body: bytes, *, secret: bytes, now: float, max_age_s: float) -> str:
    """Return the id of a delivery that is signed and recent; raises UnauthorizedError."""
    delivery_id = _header(headers, ID_HEADER, DELIVERY_ID)
    timestamp = _header(headers, TIME_HEADER, TIMESTAMP)
    expected = sign_delivery(delivery_id, timestamp, body, secret=secret)
    given = headers.get(SIGNATURE_HEADER, "")
    # Signature first: only those who know the secret learn of the clock here.
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape")):
        raise UnauthorizedError(
            f"the header {SIGNATURE_HEADER} does not match the body; give MLflow's webhook and this receiver one secret"
        )
    age_s = now - int(timestamp)
    if not -AHEAD_S <= age_s <= max_age_s:
        raise UnauthorizedError(
            f"the delivery is {age_s:.0f} seconds old, accepted is up to {max_age_s:g}; compare both clocks"
        )
    return delivery_id


def sign_delivery(delivery_id: str, timestamp: str, body: bytes, *, secret: bytes) -> str:
    """Compute the signature that MLflow puts on a delivery: ``v1,`` and the HMAC-SHA256 in base64."""
    content = b".".join((delivery_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()


def _header(headers: Mapping[str, str], name: str, form: re.Pattern[str]) -> str:
    value = headers.get(name, "")
    if not form.fullmatch(value):
        raise UnauthorizedError(f"the header {name} is missing or malformed; only deliveries of MLflow are accepted")
    return value
