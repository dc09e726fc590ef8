"""The weights that a network starts from: on the hub, in a directory in timm's layout, or in one file."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from dragoman.bundle.manifest import BaseModel
from dragoman.errors import ConfigError, DataError
from train.data.pretrained import CONFIG, WEIGHTS, files_digest, find_pretrained
from train.tasks.image_classification.networks.settings import Stem, TimmModel
from train.tasks.torchvision_pair import pair_torchvision

TASK = "image_classification"
# Among a network's own arguments in our config.json, the one that is ours: timm has no such stem.
STEM = "stem"
# timm notes them among the arguments of a network that it saves; here they are known from elsewhere.
GIVEN_ANYWAY = ("num_classes", "drop_rate")
COLOURS = 3
NEAREST = 5


@dataclass(frozen=True, kw_only=True)
class Source:
    """The origin of a network: its architecture, and its weights with their configuration, if there are any.

    ``num_classes`` are the outputs of the weights' head, 0 where they have none; ``labels`` are the names of these, as
    far as they are known; ``model_args`` and ``pretrained_cfg`` are timm's.
    """

    architecture: str
    kind: str = "timm"
    weights: Path | None = None
    base_model: BaseModel | None = None
    num_classes: int = 0
    labels: tuple[str, ...] | None = None
    stem: Stem = "imagenet"
    model_args: Mapping[str, Any]
    pretrained_cfg: Mapping[str, Any]

    def head_labels(self, labels: Sequence[str], *, named: bool) -> tuple[str, ...] | None:
        """Return the labels of the weights' head in its order, where it is for these labels; None where it is not.

        With ``named``, labels were given in the order of the outputs, which counts where the head has no names.
        """
        if self.weights is None or self.num_classes != len(labels):
            return None
        if self.labels is None:
            return tuple(labels) if named else None
        return self.labels if sorted(self.labels) == sorted(labels) else None


def import_timm() -> Any:
    """Import timm, which takes seconds; our own network does without."""
    pair_torchvision()
    import timm

    return timm


def find_source(settings: TimmModel) -> Source:
    """Find the weights and read their configuration; raises ConfigError, DataError or UnavailableError."""
    if settings.path is None:
        assert settings.architecture is not None  # the settings' own check
        config = default_config(settings.architecture)
        return Source(architecture=settings.architecture, model_args={}, pretrained_cfg=config)
    if Path(settings.path).is_file() or settings.path.endswith(".safetensors"):
        return _of_file(settings, Path(settings.path))
    found = find_pretrained(settings.path, settings.revision, (CONFIG, WEIGHTS), task=TASK)
    source = read_source(found.folder, found.base_model)
    if settings.architecture not in (None, source.architecture):
        raise DataError(
            f"model.architecture is {settings.architecture}, but {settings.path} holds a {source.architecture}: leave "
            "model.architecture=null, or set model.path=null for random weights"
        )
    if source.stem == "small" and settings.stem == "imagenet":
        raise DataError(f"{settings.path} was trained with model.stem=small: leave model.stem=null")
    return source


def read_source(folder: Path, base_model: BaseModel | None) -> Source:
    """Read the configuration of a directory in timm's layout; raises DataError."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind, architecture = config.get("model_type", "timm"), config["architecture"]
        given, model_args = dict(config.get("pretrained_cfg") or {}), dict(config.get("model_args") or {})
        stem = model_args.pop(STEM, "imagenet")
        for name in GIVEN_ANYWAY:
            model_args.pop(name, None)
        num_classes = int(config.get("num_classes", given.get("num_classes", 0)))
        labels = _label_names({**given, **config}, num_classes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"cannot read {path} as timm writes it: {type(error).__name__}: {error}") from error
    for channels in (model_args.get("in_chans", COLOURS), *given.get("input_size", [])[:1]):
        if channels != COLOURS:
            raise DataError(
                f"{path} describes a network for pictures of {channels} colours (in_chans); all pictures are given as "
                "red, green and blue here: take a network with in_chans=3"
            )
    if labels is not None and len(labels) != num_classes:
        raise DataError(f"{path} names {len(labels)} labels for {num_classes} classes (num_classes); correct it")
    return Source(
        architecture=architecture,
        kind=kind,
        weights=folder / WEIGHTS,
        base_model=base_model,
        num_classes=num_classes,
        labels=labels,
        stem=stem,
        model_args=model_args,
        pretrained_cfg={**(default_config(architecture) if kind == "timm" else {}), **given},
    )


def default_config(architecture: str) -> dict[str, Any]:
    """Return timm's own configuration of an architecture; raises ConfigError naming those that are spelt like it."""
    timm = import_timm()
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=NEAREST, cutoff=0.6)
        hint = f"near it are {', '.join(near)}" if near else "its names are those of timm.list_models()"
        raise ConfigError(f"model.architecture: timm has no {architecture!r}; {hint}")
    found: dict[str, Any] = timm.get_pretrained_cfg(architecture).to_dict()
    return found


def _of_file(settings: TimmModel, path: Path) -> Source:
    if settings.architecture is None:
        raise ConfigError(
            f"model.path={path} holds weights alone: give model.architecture as well, their name in timm, such as "
            "resnet18"
        )
    if settings.revision is not None:
        raise DataError(f"model.revision is for models of the hub, but model.path={path} is a file: leave it out")
    if path.suffix != ".safetensors" or not path.is_file():
        raise DataError(
            f"model.path: {path} is no .safetensors file; give one, or a directory with {CONFIG} and {WEIGHTS}"
        )
    config = default_config(settings.architecture)
    head = f"{first_name(config['classifier'])}.weight"
    try:
        with safe_open(path, framework="numpy") as file:
            outputs = int(file.get_slice(head).get_shape()[0]) if head in file.keys() else 0  # noqa: SIM118
    except SafetensorError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    return Source(
        architecture=settings.architecture,
        weights=path,
        base_model=BaseModel(name=path.name, revision=None, digest=files_digest(path.parent, [path.name])),
        num_classes=outputs,
        labels=_label_names({}, outputs),
        model_args={},
        pretrained_cfg=config,
    )


def first_name(names: str | Sequence[str] | None) -> str:
    """Return the name of a layer, or the first of several, as timm's configurations have them."""
    if names is None:
        return ""
    return names if isinstance(names, str) else names[0]


def _label_names(config: Mapping[str, Any], num_classes: int) -> tuple[str, ...] | None:
    """Return the names of a head's outputs: what describes a label, and the label itself where that is no name."""
    names, descriptions = config.get("label_names"), config.get("label_descriptions") or {}
    if names is None:
        # Weights of ImageNet, which most of timm's are, come without names: timm knows them by their number.
        timm = import_timm()
        subset = timm.data.infer_imagenet_subset({"num_classes": num_classes})
        if subset is None:
            return None
        known = timm.data.ImageNetInfo(subset)
        names, descriptions = known.label_names(), known.label_descriptions(as_dict=True)
    if isinstance(names, Mapping):
        names = [names[row] for row in sorted(names, key=int)]
    labels = [str(name) for name in names]
    described = [str(descriptions.get(label, label)) for label in labels]
    # Two labels may have one description, such as the crane that flies and the one that lifts.
    return tuple(
        text if described.count(text) == 1 else f"{text} ({label})"
        for label, text in zip(labels, described, strict=True)
    )
