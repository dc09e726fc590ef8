"""The training half of image classification."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dragoman.errors import ConfigError, DataError
from dragoman.tasks.classification import fits_a_line
from dragoman.tasks.image_classification.options import Options, Preprocessing
from train.batches import Batch
from train.data.corpus import CleanCorpus, Example, Splits
from train.tasks.base import Answered, Baseline, Encoded, Task
from train.tasks.classification.calibration import FIGURES, PartLogits, calibrate, chosen_for_calibration, outputs
from train.tasks.classification.classes import check_known, class_names, class_weights, given_names
from train.tasks.image_classification.baselines import fit_baselines
from train.tasks.image_classification.cleaning import WORDS, clean
from train.tasks.image_classification.decoded import DecodedImages
from train.tasks.image_classification.examples import read_examples
from train.tasks.image_classification.networks.preprocessing import choose_preprocessing, with_colours
from train.tasks.image_classification.networks.settings import CnnModel
from train.tasks.image_classification.settings import ImageClassificationConfig
from train.tasks.image_classification.statistics import colours

if TYPE_CHECKING:
    import torch

    from train.tasks.image_classification.networks.classifier import PreparedNetwork
    from train.tasks.image_classification.networks.weights import Source

LabelledImage = tuple[bytes, str]
# The first convolution of our network is made from the patches of so many images at most: half a million of them, each
# a dozen numbers of 64 bits. Few images are as many patches where they are large.
WHITENED, PATCHES = 512, 2**19


class ImageClassification(Task):
    """The training of a classifier of images."""

    Settings = ImageClassificationConfig
    metrics = ("accuracy", "macro-F1", "ECE")
    unit = "image"
    search = "digits"
    imports = "timm"
    commands: ClassVar[Mapping[str, str]] = {
        "task=image_classification": "scikit-learn's digits, cnn_small",
        "task=image_classification data=cifar10": "photographs of 32x32 pixels in ten classes",
        "task=image_classification data=image_folder data.path=photos": "images of your own, in folders by class",
        "task=image_classification data=image_folder data.path=photos model=timm model.path=timm/resnet18.a1_in1k": (
            "weights from the Hugging Face hub"
        ),
        "import task=image_classification model.path=DIRECTORY test=test.csv": "a bundle from weights that exist",
    }

    decoded: DecodedImages | None = None
    made: "PreparedNetwork"
    weights: "torch.Tensor"
    fill: "torch.Tensor"
    temperature = 1.0
    _source: "Source | None" = None

    @classmethod
    def read_files(cls, files: Sequence[Path], columns: Sequence[str] | None = None) -> list[LabelledImage]:
        """Read labelled images: a folder or an archive of class/file, or a table, by default of image and label."""
        return read_examples(files, columns)

    @classmethod
    def check_references(cls, options: Mapping[str, Any], examples: Sequence[LabelledImage]) -> None:
        """Raise DataError for labels that the model does not know."""
        check_known(options, examples)

    @classmethod
    def family(cls, config: Mapping[str, Any]) -> Any:
        """Name the family of models that a ``config.json`` describes; timm's own names none, but an architecture."""
        return config.get("model_type", "timm" if "architecture" in config else None)

    # The corpus

    def read(self) -> Splits:
        """Read the labelled images; raises DataError."""
        splits: Splits = self.config.data.read(self.tell)
        return splits

    def clean(self, splits: Splits) -> CleanCorpus:
        """Decode everything and leave out bad and leaking images (``train.tasks.image_classification.cleaning``)."""
        corpus = clean(splits, self.config.classes, self._images(splits.train))
        assert self.decoded is not None
        if self._preprocessing(corpus.splits.train) != self.decoded.preprocessing:
            # Images that were left out had decided on the size. A search, which is given what is left, would see
            # another one than the training that follows it.
            self.decoded = None
        return corpus

    def _images(self, training: Sequence[LabelledImage]) -> DecodedImages:
        """Give the decoded images, for pixels of the size that the model sees; weights that exist are found now."""
        if self.decoded is None:
            preprocessing, limits = self._preprocessing(training), self.config.limits
            shift, side = self.config.augment.shift, min(preprocessing.height, preprocessing.width)
            if shift >= side:
                raise ConfigError(f"augment.shift must be less than the {side} pixels of an image's side, got {shift}")
            self.decoded = DecodedImages(preprocessing, max_pixels=limits.max_pixels, tell=self.tell)
        return self.decoded

    def _preprocessing(self, training: Sequence[LabelledImage]) -> Preprocessing:
        settings, config = self.config.model, None
        if not isinstance(settings, CnnModel):
            from train.tasks.image_classification.networks.weights import find_source

            self._source = self._source or find_source(settings)
            if self._source.weights or self._source.pretrained_cfg.get("fixed_input_size"):
                config = self._source.pretrained_cfg
        return choose_preprocessing(dataclasses.asdict(self.config.images), config, [image for image, _ in training])

    # The model

    def make_model(self, splits: Splits, assets: Path | None) -> "torch.nn.Module":
        """Build a network, or load one, for the classes of the corpus and pixels of its colours."""
        import torch

        from train.tasks.image_classification.networks.cnn import scratch_cnn
        from train.tasks.image_classification.networks.timm_networks import make_network

        decoded, settings = self._images(splits.train), self.config.model
        labels, source = class_names(splits, self.config.classes, WORDS), self._source
        preprocessing, pixels = decoded.preprocessing, decoded.pixels([image for image, _ in splits.train])
        if self.config.images.mean is None and not (source and source.weights):
            preprocessing = with_colours(preprocessing, *colours(pixels))
        torch.manual_seed(self.config.train.seed)
        if source is None:
            most = max(1, min(WHITENED, PATCHES // (preprocessing.height * preprocessing.width)))
            sample = np.stack(pixels[:: max(1, len(pixels) // most)][:most])
            made = scratch_cnn(settings, labels, preprocessing, sample)
        else:
            named = self.config.classes.names is not None
            head = source.head_labels(labels, named=named)
            if self.config.train.max_steps == 0 and source.weights and head is None:
                raise DataError(
                    f"{settings.path} has no head for the classes {', '.join(labels)}, and train.max_steps=0 would "
                    "pack a random one; train it, or import one that was trained for these classes (python -m train "
                    "import)"
                )
            made = make_network(
                source,
                head or labels,
                preprocessing,
                stem=settings.stem,
                dropout=settings.dropout,
                has_head=head is not None,
            )
        self.weights = class_weights(self.config.classes.weights, made.labels, splits.train)
        return self._take(made)

    def _take(self, made: "PreparedNetwork") -> "torch.nn.Module":
        import torch

        from train.tasks.image_classification.networks.classifier import Classifier

        self.made, self.base_model = made, made.base_model
        self.fill = torch.tensor(made.preprocessing.mean).mul(255).round().to(torch.uint8)
        return Classifier(made.network, made.preprocessing)

    def import_model(self) -> "torch.nn.Module":
        """Load a classifier, whose classes are ``classes.names`` in the order of its outputs, or its own names."""
        from train.tasks.image_classification.networks.timm_networks import make_network

        preprocessing, source, path = self._images([]).preprocessing, self._source, self.config.model.path
        assert source is not None  # an import is of timm's kind, and has a path
        given = self.config.classes.names and given_names(self.config.classes.names)
        if source.num_classes < 2:
            raise DataError(f"{path} has no head for several classes; train one on images of yours: model.path={path}")
        names = given or source.labels
        if names is None or len(set(names)) < len(names) or not all(map(fits_a_line, names)):
            raise DataError(
                f"{path} has no names for its {source.num_classes} classes, or not each in a line; give them in the "
                "order of its outputs: classes.names=[a,b,…]"
            )
        if len(names) != source.num_classes:
            raise DataError(f"classes.names has {len(names)} names, but {path} has {source.num_classes} classes")
        # Its own names in another order are no new ones.
        labels = source.labels if source.labels and sorted(source.labels) == sorted(names) else names
        return self._take(make_network(source, labels, preprocessing, has_head=True))

    def parameter_groups(self, model: Any) -> list[dict[str, Any]]:
        """Give the head of weights that exist, with a learning rate of its own, and everything that is trained else."""
        from train.tasks.image_classification.networks.classifier import parameter_groups

        return parameter_groups(self.made, getattr(self.config.model, "head_lr_scale", 1.0))

    def summary(self) -> str:
        """Tell the size of the pictures as the network sees them."""
        return f"{self.made.preprocessing.width}x{self.made.preprocessing.height} pixels"

    # Learning

    def encode(self, examples: Sequence[LabelledImage]) -> Encoded:
        """Give the pixels of images, which are not copied, and labels as the rows of outputs."""
        rows = {label: row for row, label in enumerate(self.made.labels)}
        assert self.decoded is not None
        return {
            "pixels": self.decoded.pixels([image for image, _ in examples]),
            "labels": [np.array(rows[label], dtype=np.int64) for _, label in examples],
        }

    def loss(self, model: Any, batch: Batch, *, label_smoothing: float) -> "torch.Tensor":
        """Compute the mean label-smoothed cross-entropy; in training weighted by class, of augmented images."""
        pixels = batch["pixels"]
        if model.training:
            from train.tasks.image_classification.augment import augment

            pixels = augment(pixels, self.config.augment, self.fill.to(pixels.device))
            if len(pixels) == 1:
                # One image has no variance to normalise by: a batch of one, such as the last, takes the running one.
                model.eval()
                return self._loss(model(pixels), batch, label_smoothing, weighted=True)
        return self._loss(model(pixels), batch, label_smoothing, weighted=model.training)

    def _loss(self, logits: "torch.Tensor", batch: Batch, label_smoothing: float, *, weighted: bool) -> "torch.Tensor":
        from torch.nn.functional import cross_entropy

        losses = cross_entropy(logits.float(), batch["labels"], label_smoothing=label_smoothing, reduction="none")
        if weighted:
            # Not cross_entropy's own weights: it divides by their sum in a batch, so that rare classes hardly count.
            losses = losses * self.weights.to(losses.device)[batch["labels"]]
        return losses.mean()

    def outputs(self, model: Any, batch: Batch) -> list[dict[str, float]]:
        """Give the probabilities of the labels."""
        return outputs(self._parts(model, batch["pixels"]), self.made.labels, self.temperature)

    def loss_and_outputs(self, model: Any, batch: Batch) -> tuple["torch.Tensor", Sequence[Any]]:
        """Compute both from the same logits."""
        pixels = batch["pixels"]
        logits = model(pixels)
        parts = self._parts(model, pixels, logits)
        loss = self._loss(logits, batch, 0.0, weighted=False)
        return loss, outputs(parts, self.made.labels, self.temperature)

    def _parts(self, model: Any, pixels: "torch.Tensor", logits: "torch.Tensor | None" = None) -> PartLogits:
        """Compute logits of images, and of their mirror images where both are averaged."""
        rows = [(model(pixels) if logits is None else logits).double().cpu().numpy()]
        if self.config.average_mirrored:
            rows.append(model(pixels.flip(2)).double().cpu().numpy())
        # An image is followed by its mirror image.
        together, parts = np.stack(rows, axis=1), len(rows)
        return PartLogits(
            rows=together.reshape(-1, together.shape[2]),
            weights=np.full(parts * len(pixels), 1 / parts),
            starts=np.arange(0, parts * len(pixels), parts),
        )

    # The weights that were chosen

    def finish(self, model: Any, validation: Sequence[LabelledImage]) -> Mapping[str, float]:
        """Fit the temperature to validation images; returns it with the calibration error before and after."""
        import torch

        chosen = chosen_for_calibration(validation)
        encoded = self.encode(chosen)
        model.eval()
        device, found = next(model.parameters()).device, []

        # As it is served, in 32 bits: the forward of the object itself may have been put into half precision.
        def full_precision(pixels: torch.Tensor) -> Any:
            return type(model).forward(model, pixels)

        with torch.no_grad():
            for start in range(0, len(chosen), self.config.train.batch_units):
                rows = np.arange(start, min(start + self.config.train.batch_units, len(chosen)))
                found.append(self._parts(full_precision, self.collate(encoded, rows)["pixels"].to(device)))
        parts = PartLogits(
            rows=np.concatenate([part.rows for part in found]),
            weights=np.concatenate([part.weights for part in found]),
            starts=np.arange(len(chosen)) * (1 + self.config.average_mirrored),
        )
        figures = calibrate(parts, [label for _, label in chosen], self.made.labels)
        self.temperature = figures[f"{FIGURES}/temperature"]
        return figures

    def baselines(self, training: Sequence[Example]) -> Sequence[Baseline]:
        """Fit the majority class and a logistic regression of small grey pictures."""
        return fit_baselines(training, self._images(training))

    def pictures(self, answered: Mapping[str, Answered]) -> Mapping[str, bytes]:
        """Draw the confusion matrix, the reliability diagram and the worst mistakes of every held-out set."""
        from train.tasks.classification.pictures import draw

        images, labels = self._images([]), self.made.labels
        return draw(answered, labels, self.temperature, items="images", show=lambda image: images.pixels([image])[0])

    # The bundle

    def options(self) -> Mapping[str, Any]:
        """Give labels, preprocessing and temperature."""
        return dataclasses.asdict(
            Options(
                labels=self.made.labels,
                preprocessing=self.made.preprocessing,
                average_mirrored=self.config.average_mirrored,
                temperature=self.temperature,
            )
        )

    def limits(self) -> Mapping[str, Any]:
        """Give the limits of requests."""
        return dataclasses.asdict(self.config.limits)

    def write_model(self, model: Any, folder: Path) -> None:
        """Write weights and configuration in timm's layout."""
        from train.tasks.image_classification.networks.classifier import write_network

        write_network(dataclasses.replace(self.made, network=model.network), folder)

    def convert(self, model_dir: Path, folder: Path, training: Encoded) -> Mapping[str, Path]:
        """Export what was written to ONNX."""
        from dragoman.engines.onnx.graph import CONVERSION, GRAPH
        from train.tasks.image_classification.networks.classifier import Classifier
        from train.tasks.image_classification.networks.export import export_graph
        from train.tasks.image_classification.networks.timm_networks import make_network
        from train.tasks.image_classification.networks.weights import read_source

        made = self.made
        # Read back, so that files which nobody could read are found now.
        read = make_network(read_source(model_dir, None), made.labels, made.preprocessing, has_head=True)
        (folder / CONVERSION).mkdir()
        network = Classifier(read.network, made.preprocessing)
        export_graph(network, made.preprocessing, folder / CONVERSION / GRAPH, labels=len(made.labels))
        return {CONVERSION: folder / CONVERSION}
