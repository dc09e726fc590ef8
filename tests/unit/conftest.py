"""The Kubernetes manifests, rendered: each that a user applies, and each overlay."""

from typing import Any

import pytest

from tests.kubernetes import APPLIED, OVERLAYS, render


@pytest.fixture(params=APPLIED)
def applied(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return render(request.param)


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return render(request.param)
