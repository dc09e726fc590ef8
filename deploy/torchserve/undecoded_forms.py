"""A TorchServe that hands the bodies of forms to its workers as they are, for tasks whose inputs are files.

``curl --data-binary @file`` calls every body a form. TorchServe's front end decodes forms itself, whatever is in
them: of a file it makes text that cannot be undone, or the status 500 before any worker has seen the request. No
setting changes that. It knows a form by a constant of its HTTP library, so it gets that class with another constant,
ahead of its own in the classpath, and takes the body for bytes. Its version is pinned and will not change any more.
"""

import zipfile
from pathlib import Path

from deploy.torchserve.config import torchserve_home
from dragoman.errors import ConfigError
from dragoman.items.bodies import FORM_TYPE

HEADER_VALUES = "io/netty/handler/codec/http/HttpHeaderValues.class"
# As long, as the class file tells the lengths of its texts, and no content type.
NO_TYPE = "-" * len(FORM_TYPE)


def write_classes(folder: Path) -> None:
    """Write the class into a folder for the front of the classpath; raises ConfigError for another TorchServe."""
    path = torchserve_home() / "ts" / "frontend" / "model-server.jar"
    try:
        with zipfile.ZipFile(path) as jar:
            original = jar.read(HEADER_VALUES)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(f"cannot read {HEADER_VALUES} in {path} ({error}); install torchserve==0.12.0") from error
    if original.count(FORM_TYPE.encode()) != 1:
        raise ConfigError(f"{HEADER_VALUES} in TorchServe's jar is not the one known; install torchserve==0.12.0")
    target = folder / HEADER_VALUES
    target.parent.mkdir(parents=True)
    target.write_bytes(original.replace(FORM_TYPE.encode(), NO_TYPE.encode()))
