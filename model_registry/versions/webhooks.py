"""The webhook by which MLflow tells a receiver that an alias of a model has moved."""

from pathlib import Path
from urllib.parse import urlsplit

from mlflow.entities.webhook import WebhookStatus
from mlflow.exceptions import MlflowException

from dragoman.errors import ConfigError, UnavailableError
from dragoman.http.webhook import MIN_SECRET_BYTES
from model_registry.mlflow_store.connection import all_pages, connect, explained, without_password

EVENT = "model_version_alias.created"
# The settings by which MLflow's server delivers to other addresses than public ones with https.
LOCAL = "MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true"


def subscribe(tracking_uri: str | None, *, name: str, url: str, secret_file: Path) -> str:
    """Make or renew the webhook of this name, let MLflow deliver a test event, and say what was done.

    Raises ConfigError for a store that is no server, for a secret that cannot be read or is short and for a URL that
    MLflow refuses, and UnavailableError when the test event does not arrive.
    """
    secret = _read_secret(secret_file)
    client = connect(tracking_uri, create=False)
    if urlsplit(client.tracking_uri).scheme not in ("http", "https"):
        raise ConfigError(
            f"only an MLflow server delivers events, {without_password(client.tracking_uri)} is a database; give "
            f"--tracking-uri http://HOST:PORT of `mlflow server`"
        )
    settings = {"url": url, "events": [EVENT], "secret": secret, "status": WebhookStatus.ACTIVE}
    with explained(client.tracking_uri):
        try:
            webhooks = all_pages(lambda token: client.list_webhooks(max_results=100, page_token=token))
            found = [webhook for webhook in webhooks if webhook.name == name]
            if found:
                webhook = client.update_webhook(found[0].webhook_id, **settings)
            else:
                webhook = client.create_webhook(name, **settings)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            raise ConfigError(
                f"MLflow refuses the webhook: {error.message}; for a receiver on this machine or in a private network, "
                f"start MLflow's server with {LOCAL}"
            ) from error
        result = client.test_webhook(webhook.webhook_id)
    if not result.success:
        reason = result.error_message or f"it was answered with {result.response_status} {result.response_body}"
        raise UnavailableError(
            f"the webhook {name} is set up, but a test event to {url} did not arrive: {reason[:300]}; start the"
            f" receiver with the same secret, and MLflow's server with {LOCAL} unless the receiver has a public address"
        )
    return f"webhook: {name} {'renewed' if found else 'made'}, {EVENT} goes to {url}, a test event arrived"


def _read_secret(path: Path) -> str:
    try:
        # Stripped as bytes, as the receiver does it.
        secret = path.read_bytes().strip()
        text = secret.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the secret in {path}: {error}") from error
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"the secret must have at least {MIN_SECRET_BYTES} bytes, got {len(secret)} in {path}; make one with "
            f"`openssl rand -hex 32`"
        )
    return text
