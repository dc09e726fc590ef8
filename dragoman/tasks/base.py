"""The base of every task at run time; a plain task writes options, parse, run and render, and inherits the rest.

::

    body --read--> payload --parse--> Request(inputs, each of items)
                                          |  items of all requests share batches
                                          v
    reply <--render-- results <--assemble-- outcomes <--run-- a batch of items

Class attributes and class methods need no model: packaging, documentation, the gate and the servers' routes ask them.
Instances hold a loaded model; their methods are called from several threads.
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar

from dragoman.bundle.manifest import Manifest
from dragoman.bundle.model_card import Card
from dragoman.bundle.store import Bundle
from dragoman.engines.selection import open_engine
from dragoman.errors import InvalidInput
from dragoman.items.bodies import RawRequest, read_payload
from dragoman.items.outcomes import Failure, OnOutcome, Result
from dragoman.items.sizes import Capacity, Size
from dragoman.strict import Setting
from dragoman.task_table import find_task

Schema = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """The options of a task that has none."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The size of what a server accepts; a task adds its own."""

    max_body_bytes: Annotated[int, Setting("bytes of a request's body", minimum=1)] = 1_048_576


@dataclass(frozen=True, kw_only=True)
class Input:
    """One prepared input of a caller: the items that the engine computes for it, at least one.

    Items are hashable, and equal ones are the same work, which is done once for everybody.
    """

    items: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A parsed request: its inputs, the field that names each of them in errors, and whether they came as a list."""

    inputs: tuple[Any, ...]
    fields: tuple[str, ...]
    is_list: bool

    @cached_property
    def items(self) -> tuple[Any, ...]:
        """The items of all inputs, in order."""
        return tuple(item for prepared in self.inputs for item in prepared.items)


@dataclass(frozen=True, kw_only=True)
class Interface:
    """The task's route in OpenAPI's terms: JSON schemas and examples of its bodies.

    ``text`` describes a plain text, for a task that takes one. ``bodies`` are those of further media types, such as
    ``image/*``, in the place of a form where there are some: each a schema, perhaps with an example.
    """

    summary: str
    description: str
    request: Schema
    response: Schema
    request_examples: Mapping[str, Any]
    response_examples: Mapping[str, Any]
    text: Schema | None = None
    bodies: Mapping[str, Schema] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Page:
    """A fixed answer to GET, made from the manifest."""

    summary: str
    body: Any
    schema: Schema


@dataclass(frozen=True, kw_only=True)
class Columns:
    """A request as a row of a table, the form in which MLflow signs models.

    ``inputs`` and ``outputs`` map columns to MLflow's types, ``params`` names to defaults; ``Task.row`` fills outputs.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    params: Mapping[str, Any] = field(default_factory=dict)


class Task:
    """One task over one bundle and its engine."""

    Options: ClassVar[type] = NoOptions
    """The dataclass of the manifest's ``options``."""
    Limits: ClassVar[type[Limits]] = Limits
    """The dataclass of the manifest's ``limits``."""
    engines: ClassVar[Mapping[str, str]] = {}
    """Engines by name, ``module:Class``, the preferred first, or torch where it sees CUDA; a task may have none."""
    files: ClassVar[str] = ""
    """A pattern of the files that its bundles may hold beside the weights."""
    model_config_keys: ClassVar[Mapping[str, frozenset[str]]] = {}
    """The keys that ``model/config.json`` may have, by its ``model_type``; none where a model has no such file."""

    route: ClassVar[str]
    """The path that requests are posted to, such as ``/translate``."""
    input_field: ClassVar[str] = "inputs"
    """The field of a request that holds one input or a list of them."""
    quick_body_bytes: ClassVar[int] = 0
    """The size up to which a body is parsed on a server's event loop: that must take a millisecond or two at most."""
    request_fields: ClassVar[Sequence[str]] = ()
    """The further fields of a request."""
    output_field: ClassVar[str] = "outputs"
    """The field of an answer that holds one output or a list of them."""
    takes_text: ClassVar[bool] = False
    """True where a body of plain text is an input."""
    takes_files: ClassVar[bool] = False
    """True where an input is a file: a body may be its bytes, or multipart, and a payload may hold bytes."""
    text_fields: ClassVar[frozenset[str]] = frozenset()
    """The fields that stay text in a form, where numbers and booleans have no type of their own."""
    page_paths: ClassVar[Sequence[str]] = ()
    """The paths of ``pages``."""
    example_item: ClassVar[Any]
    """An input that warms the engine up."""
    no_output: ClassVar[Any] = None
    """The output that metrics take for an input that was refused."""
    variations: ClassVar[Mapping[str, str]] = {}
    """Changes of an input that should leave its answer alone, by name: ``module:function``, from input to input."""

    def __init__(self, bundle: Bundle, *, engine: str = "auto", device: str = "auto") -> None:
        """Read options and limits, and open the engine; raises BundleError or ConfigError."""
        self.manifest = bundle.manifest
        self.options = self.options_of(bundle.manifest)
        self.limits = self.limits_of(bundle.manifest)
        self.engine = self.open(bundle, engine=engine, device=device)

    # Known without a model.

    @classmethod
    def options_of(cls, manifest: Manifest) -> Any:
        """Read the options of a manifest; raises BundleError naming all faults."""
        return manifest.section("options", cls.Options)

    @classmethod
    def limits_of(cls, manifest: Manifest) -> Any:
        """Read the limits of a manifest; raises BundleError naming all faults."""
        return manifest.section("limits", cls.Limits)

    @classmethod
    def work(cls, manifest: Manifest) -> str:
        """Name the work of a model; only models of equal work are compared, or take over from each other."""
        return manifest.task

    @classmethod
    def interface(cls, manifest: Manifest) -> Interface:
        """Describe the route for the OpenAPI page."""
        return Interface(
            summary=f"Answer with {manifest.name}",
            description="",
            request={"type": "object", "required": [cls.input_field], "properties": {cls.input_field: {}}},
            response={"type": "object", "required": [cls.output_field], "properties": {cls.output_field: {}}},
            request_examples={"one": {"value": cls.request_for(cls.example_item)}},
            response_examples={},
        )

    @classmethod
    def pages(cls, manifest: Manifest) -> Mapping[str, Page]:
        """Return further routes, which answer GET from the manifest alone."""
        return {}

    @classmethod
    def columns(cls, manifest: Manifest) -> Columns:
        """Describe a request as a row of a table."""
        return Columns(inputs={cls.input_field: "string"}, outputs={cls.output_field: "string"})

    @classmethod
    def row(cls, body: Any) -> Mapping[str, Any]:
        """Read the output columns of ``columns`` from the answer to a request for one input."""
        return {cls.output_field: body[cls.output_field]}

    @classmethod
    def card(cls, manifest: Manifest) -> Card:
        """Describe the model for its card."""
        return Card(what=f"A model for {manifest.task}")

    @classmethod
    def request_for(cls, inputs: Any) -> dict[str, Any]:
        """Make the body of a request for one plain input, or for a list of them."""
        return {cls.input_field: inputs}

    @classmethod
    def outputs_of(cls, body: Any) -> list[Any]:
        """Read the outputs, in order, from the answer to a request for a list."""
        return list(body[cls.output_field])

    @staticmethod
    def output(value: Any) -> Any:
        """Return the plain JSON form of a result's value, which metrics and comparisons use."""
        return value

    @classmethod
    def decision(cls, output: Any) -> Any:
        """Reduce an output to what it decides, which is compared for being the same; by default it is all of it."""
        return output

    @classmethod
    def line(cls, output: Any) -> str:
        """Write an output as one line of text: a line as it is, anything else as JSON."""
        if isinstance(output, str) and not {"\n", "\r"} & set(output):
            return output
        return json.dumps(output, ensure_ascii=False)

    @classmethod
    def sample(cls, item: Any, reference: Any, output: Any) -> dict[str, Any]:
        """Make the row of an item in a table of samples that people look at."""
        return {"input": item, "reference": reference, "output": output}

    # Requests.

    def read(self, raw: RawRequest) -> Any:
        """Decode a body into a payload; raises InvalidInput."""
        text_field = self.input_field if self.takes_text else None
        return read_payload(raw, text_field=text_field, text_fields=self.text_fields)

    def parse(self, payload: Any) -> Request:
        """Turn a payload into prepared inputs; raises InvalidInput naming the field."""
        raise NotImplementedError

    def prepare(self, item: Any) -> Any:
        """Check one plain input and make it ready for the engine; raises InvalidInput."""
        request = self.parse(self.request_for(item))
        if request.is_list:
            raise InvalidInput(f"{self.input_field} must be one input, got a list of {len(request.inputs)}")
        (prepared,) = request.inputs
        return prepared

    def assemble(self, prepared: Any, outcomes: Sequence[Result | Failure]) -> Result | Failure:
        """Make the outcome of an input from those of its items, in order."""
        (outcome,) = outcomes
        return outcome

    def render(self, request: Any, results: Sequence[Result]) -> dict[str, Any] | list[Any]:
        """Make the body of the answer to a request whose inputs all succeeded, from one result each.

        It is an object or a list in JSON; ``output_field`` says nothing of a list.
        """
        raise NotImplementedError

    def answer_size(self, request: Any) -> int:
        """Count the entries that an answer is made of, by which a server decides where it is rendered."""
        return len(request.items)

    # Batches.

    def run(self, batch: Sequence[Any], *, on_outcome: OnOutcome | None = None) -> Sequence[Result | Failure]:
        """Compute one batch of equal keys: one outcome per item, in order.

        ``on_outcome`` gets items whose outcome is known before the others', in any thread. An exception is put down to
        an item or to the engine by ``dragoman.batching.computing``.
        """
        raise NotImplementedError

    def size(self, item: Any) -> Size:
        """Return the share of a batch that an item takes."""
        return Size()

    def batch_key(self, item: Any) -> Hashable:
        """Return a key; items of equal keys may be computed in one batch."""
        return None

    def output_size(self, result: Result) -> int:
        """Count the units of an item's output, tokens where ``size`` counts tokens."""
        return 1

    @property
    def capacity(self) -> Capacity:
        """The work that the engine computes at once, and that may wait for it."""
        return self.engine.capacity if self.engine else Capacity()

    # The engine.

    def open(self, bundle: Bundle, *, engine: str, device: str) -> Any:
        """Open the engine, None where the task computes by itself; raises BundleError or ConfigError."""
        return open_engine(self.engines, bundle, engine=engine, device=device) if self.engines else None

    def describe(self) -> Mapping[str, Any]:
        """Describe the engine and its device, for logs, metrics and commands."""
        return self.engine.describe() if self.engine else {"engine": "numpy", "device": "cpu"}

    def close(self) -> None:
        """Free the engine."""
        if self.engine:
            self.engine.close()


def task_class(name: str) -> type[Task]:
    """Return the run-time class of a task; raises BundleError for one that this version does not know."""
    found: type[Task] = find_task(name)
    return found


def one_or_list(payload: Any, field_name: str, *, most: int) -> tuple[list[Any], tuple[str, ...], bool]:
    """Return the inputs of a payload, the field that names each in errors, and whether they were a list.

    Raises InvalidInput where the payload is no object, the field is missing, or the list is empty or too long.
    """
    if not isinstance(payload, Mapping) or field_name not in payload:
        raise InvalidInput(f'{field_name} is missing; send {{"{field_name}": …}}', field=field_name)
    value = payload[field_name]
    if not isinstance(value, list):
        return [value], (field_name,), False
    if not 1 <= len(value) <= most:
        advice = "send several requests" if value else "give at least one"
        raise InvalidInput(f"{field_name} must hold 1 to {most} inputs, got {len(value)}; {advice}", field=field_name)
    return value, tuple(f"{field_name}[{index}]" for index in range(len(value))), True
