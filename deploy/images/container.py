"""A server's image, run by docker or podman as a cluster would run it, and the ways into it.

Its root file system is read-only, with a tmpfs at /tmp that nothing can be executed from; it has no capabilities and
cannot get any; its user is the image's. The network is this machine's, and the server listens on the loopback
interface.
"""

import json
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.conformance.servers import Endpoint, OverGrpc, OverHttp
from deploy.images.engine import ContainerEngine
from deploy.run.server_process import LOOPBACK, POLL_S, ServerProcess
from deploy.torchserve.config import Ports
from deploy.torchserve.grpc_client import InferenceClient
from dragoman.bundle.manifest import Manifest
from dragoman.items.bodies import JSON_TYPE, RawRequest
from dragoman.tasks.base import task_class

READY_WITHIN_S = 120.0
CONFINED = (
    *("--network", "host", "--tmpfs", "/tmp:rw,noexec,nosuid,nodev,mode=1777"),  # noqa: S108 - the container's own
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
)
CAPABILITIES = ("CapPrm", "CapEff", "CapBnd", "CapAmb")


class Container(ServerProcess):
    """A container that runs in the foreground, its output in a log; a context manager that removes it."""

    def __init__(
        self,
        engine: ContainerEngine,
        tag: str,
        *,
        log: Path,
        read_only: bool = True,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the image's entry point with further arguments and environment."""
        self._engine, self._id = engine, f"dragoman-{secrets.token_hex(6)}"
        options = [*CONFINED, *(["--read-only"] if read_only else [])]
        options += [f"--env={name}={value}" for name, value in (environment or {}).items()]
        super().__init__(
            [*engine.run_words("--name", self._id, *options), tag, *arguments],
            name=tag,
            directory=Path("/"),
            environment=engine.run_environment,
            log=log,
        )

    def wait_for_end(self, within_s: float) -> int | None:
        """Return the exit code of process 1; None if it has not ended within this time."""
        deadline = time.monotonic() + within_s
        while not self.has_ended():
            if time.monotonic() > deadline:
                return None
            time.sleep(POLL_S)
        return self.stop()

    def stop(self, within_s: float = 15.0) -> int:
        """Stop the container as ``ServerProcess`` does, and remove it."""
        code = super().stop(within_s)
        # Killing the program in the foreground would leave the container running.
        subprocess.run([self._engine.runner, "rm", "--force", self._id], capture_output=True, check=False)
        return code

    def confinement(self) -> dict[str, bool]:
        """Report what the kernel says of process 1, read inside."""
        lines = self._inside("cat", "/proc/1/status").splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        mounts = [line.split() for line in self._inside("cat", "/proc/1/mountinfo").splitlines()]
        # A later mount of the same place covers an earlier one.
        options = {fields[4]: fields[5].split(",") for fields in mounts}
        return {
            "not root": "0" not in status["Uid"].split(),
            "no capabilities": not any(int(status[name], 16) for name in CAPABILITIES),
            "no new privileges": status["NoNewPrivs"] == "1",
            "read-only root": "ro" in options["/"],
        }

    def _inside(self, *command: str) -> str:
        return self._engine.read("exec", self._id, *command, program=self._engine.runner)

    def succeeds(self, *command: str) -> bool:
        """Run a command beside process 1, as its user; tell whether it ends with 0."""
        words = [self._engine.runner, "exec", self._id, *command]
        return subprocess.run(words, check=False, stdin=subprocess.DEVNULL).returncode == 0


@dataclass(frozen=True, kw_only=True)
class RunningImage:
    """A container that answers; ``healthy`` is the verdict of its image's health check, None where it has none."""

    container: Container
    ways: Sequence[Endpoint]
    labels: Mapping[str, str]
    seconds_to_ready: float
    healthy: bool | None


@contextmanager
def running(
    engine: ContainerEngine, tag: str, manifest: Manifest, *, log: Path, torchserve: bool, read_only: bool = True
) -> Iterator[RunningImage]:
    """Run an image that serves a Bento or a ``.mar``; raises UnavailableError when it does not get ready."""
    (image,) = json.loads(engine.read("image", "inspect", tag, program=engine.runner))
    # After the word CMD, which says that no shell is meant; podman has the field one level higher than docker.
    probe = (image.get("Healthcheck") or image["Config"].get("Healthcheck") or {}).get("Test", [])[1:]
    task, ports, model = task_class(manifest.task), Ports.free(), manifest.name
    address = f"http://{LOOPBACK}:{ports.inference}"
    arguments: list[str] = []
    environment: dict[str, str] = {}
    if torchserve:
        inside = ["--management-port", str(ports.management), "--metrics-port", str(ports.metrics)]
        arguments = ["--host", LOOPBACK, "--port", str(ports.inference), *inside]
        arguments += ["--grpc-port", str(ports.grpc_inference), "--grpc-management-port", str(ports.grpc_management)]
        http = OverHttp("TorchServe REST", f"{address}/predictions/{model}")
        probe = [*probe, "--inference-port", str(ports.inference), *inside] if probe else []
    else:
        environment = {"BENTOML_HOST": LOOPBACK, "BENTOML_PORT": str(ports.inference)}
        http = OverHttp("Bento HTTP", f"{address}{task.route}")
    body = json.dumps(task.request_for([task.example_item])).encode()

    def answers() -> bool:
        try:
            return http.ask(RawRequest(body=body, content_type=JSON_TYPE)).status == 200
        except Exception:
            # Nothing listens yet, or another program answers.
            return False

    with ExitStack() as stack:
        started = time.monotonic()
        container = stack.enter_context(
            Container(engine, tag, log=log, read_only=read_only, arguments=arguments, environment=environment)
        )
        container.wait_until(answers, within_s=READY_WITHIN_S)
        seconds = time.monotonic() - started
        ways: list[Endpoint] = [http]
        if torchserve:
            client = stack.enter_context(InferenceClient(f"{LOOPBACK}:{ports.grpc_inference}"))
            ways.append(OverGrpc(client, model))
        yield RunningImage(
            container=container,
            ways=ways,
            labels=image["Config"].get("Labels") or {},
            seconds_to_ready=seconds,
            healthy=container.succeeds(*probe) if probe else None,
        )
