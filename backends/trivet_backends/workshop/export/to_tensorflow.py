"""TensorFlow SavedModel and TFLite, from the plain BERT in TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from trivet_backends.workshop.export.source import Source, signature
from trivet_backends.workshop.options import GraphOptions

TFLITE = "model.tflite"
_SIGNATURE = "serving_default"


def write_saved_model(source: Source, folder: Path) -> None:
    """A SavedModel in `folder`; serving_default takes and gives tensors by name."""
    import tensorflow as tf

    from trivet_backends.workshop.export.plain_tf import PlainBert

    bert = PlainBert(source.config, source.weights, source.options)
    names = signature(source.options)

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow is untyped
    def serve(**tensors: object) -> dict[str, object]:
        outputs = bert(*(tensors[name] for name in names.inputs))
        return dict(zip(names.outputs, outputs, strict=True))

    specs = {name: tf.TensorSpec([None, None], tf.int64, name=name) for name in names.inputs}
    concrete = serve.get_concrete_function(**specs)
    tf.saved_model.save(bert, str(folder), signatures={_SIGNATURE: concrete})


def run_saved_model(
    folder: Path, options: GraphOptions, inputs: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Load the folder and call its signature."""
    import tensorflow as tf

    call = tf.saved_model.load(str(folder)).signatures[_SIGNATURE]
    outputs = call(**{name: tf.constant(array) for name, array in inputs.items()})
    return [outputs[name].numpy() for name in signature(options).outputs]


def write_tflite(source: Source, folder: Path) -> None:
    """A TFLite file in FP32 that needs TFLite's own operators alone."""
    import tensorflow as tf

    with TemporaryDirectory(dir=folder) as scratch:
        write_saved_model(source, Path(scratch))
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch)
        (folder / TFLITE).write_bytes(converter.convert())


def run_tflite(
    folder: Path, options: GraphOptions, inputs: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Load the file in TFLite's interpreter and call its signature."""
    import tensorflow as tf

    call = tf.lite.Interpreter(str(folder / TFLITE)).get_signature_runner(_SIGNATURE)
    outputs = call(**inputs)
    return [outputs[name] for name in signature(options).outputs]
