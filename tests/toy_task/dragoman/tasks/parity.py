"""Parity: labels a whole number odd or even, by its last digit."""

from safetensors.numpy import load_file

from dragoman.errors import InvalidInput
from dragoman.items.outcomes import Result
from dragoman.tasks.base import Input, Request, Task, one_or_list

LABELS = ("even", "odd")


class ParityTask(Task):
    """A table of ten digits and two scores each."""

    route = "/classify"
    example_item = "7"

    def open(self, bundle, *, engine, device):
        """Load the table; there is no engine."""
        self._scores = load_file(bundle.model_dir / "model.safetensors")["weight"]

    def parse(self, payload):
        """Take whole numbers, as text or not."""
        values, fields, is_list = one_or_list(payload, "inputs", most=100)
        for value, field in zip(values, fields, strict=True):
            if not str(value).isdecimal():
                raise InvalidInput(f"{field} must be a whole number, got {str(value)[:20]!r}", field=field)
        inputs = tuple(Input(items=(int(str(value)[-1]),)) for value in values)
        return Request(inputs=inputs, fields=fields, is_list=is_list)

    def run(self, batch, *, on_outcome=None):
        """Look the digits up."""
        return [Result(LABELS[int(self._scores[:, digit].argmax())]) for digit in batch]

    def render(self, request, results):
        """Return a label, or a list of labels."""
        labels = [result.value for result in results]
        return {"outputs": labels if request.is_list else labels[0], "model": self.manifest.identity()}
