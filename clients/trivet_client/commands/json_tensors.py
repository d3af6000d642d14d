"""JSON to tensors, by the data types and shapes that a model's metadata asks for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from trivet_client.errors import invalid
from trivet_client.values import Parameters, TensorMetadata
from trivet_protos.wire import WireError, numpy_dtype

_SHOWN = 40  # characters of a wrong value that a message repeats


class Reshaped:
    """Values in a list without structure, and the shape they have."""

    def __init__(self, values: object, shape: tuple[int, ...]) -> None:
        self.values = values
        self.shape = shape


def requested(document: object, where: str) -> tuple[Mapping[str, object], Parameters]:
    """Inputs by name, and parameters, of {"NAME": values} or of KServe v2's REST request."""
    if not isinstance(document, dict):
        raise invalid(f'{where} holds no JSON object; give {{"NAME": nested lists}}')
    inputs = document.get("inputs")
    if not (isinstance(inputs, list) and all(isinstance(item, dict) for item in inputs)):
        return document, {}
    found = dict(_rest_input(item, f"{where}: inputs[{i}]") for i, item in enumerate(inputs))
    if len(found) < len(inputs):
        raise invalid(f"{where}: an input is given twice; nest the rows in one list")
    parameters = document.get("parameters", {})
    if not isinstance(parameters, dict):
        raise invalid(f'{where}: parameters is no JSON object; give {{"KEY": value}}')
    return found, parameters


def tensor(value: object, spec: TensorMetadata) -> np.ndarray:
    """A JSON value as the array an input takes.

    Raises InvalidArgument, which names the input and the element: lists of unlike length, another
    shape than the model's, a value that the data type cannot hold.
    """
    name = f"input '{spec.name}'"
    if isinstance(value, Reshaped):
        elements = list(_elements(value.values, _shape(value.values, name), name, ()))
        shape = value.shape
        if math.prod(shape) != len(elements):
            raise invalid(f"{name} has {len(elements)} values, but shape {list(shape)}")
    else:
        shape = _shape(value, name)
        elements = list(_elements(value, shape, name, ()))
    _check_shape(shape, spec, name)
    for index, element in enumerate(elements):
        if (wrong := _wrong(element, spec.datatype)) is not None:
            place = "".join(f"[{i}]" for i in np.unravel_index(index, shape)) if shape else ""
            raise invalid(f"{name}{place} is {repr(element)[:_SHOWN]}, but {wrong}")
    return _array(elements, spec.datatype, name).reshape(shape)


def _rest_input(item: dict[str, object], where: str) -> tuple[str, object]:
    name, data, shape = item.get("name"), item.get("data"), item.get("shape")
    if not isinstance(name, str) or data is None:
        raise invalid(f"{where} needs a name and data")
    if shape is None:
        return name, data
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise invalid(f"{where}: shape is no list of sizes")
    return name, Reshaped(data, tuple(shape))


def _shape(value: object, name: str) -> tuple[int, ...]:
    """The shape along the first elements; `_elements` finds those that differ."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > 32:
            raise invalid(f"{name} is nested too deeply; a tensor has a few dimensions")
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _elements(
    value: object, shape: tuple[int, ...], name: str, place: tuple[int, ...]
) -> Iterator[object]:
    where = name + "".join(f"[{index}]" for index in place)
    if not shape:
        if isinstance(value, list | dict):
            raise invalid(f"{where} is a {type(value).__name__}, but its neighbours are values")
        yield value
        return
    if not isinstance(value, list):
        raise invalid(f"{where} is {repr(value)[:_SHOWN]}, but its neighbours are lists")
    if len(value) != shape[0]:
        raise invalid(
            f"{where} has {len(value)} elements, but its neighbours have {shape[0]}; "
            "pad the rows to one length"
        )
    for index, inner in enumerate(value):
        yield from _elements(inner, shape[1:], name, (*place, index))


def _check_shape(shape: tuple[int, ...], spec: TensorMetadata, name: str) -> None:
    fits = len(shape) == len(spec.shape) and all(
        wanted in (-1, size) for size, wanted in zip(shape, spec.shape, strict=True)
    )
    if not fits:
        raise invalid(
            f"{name} has shape {list(shape)}, but the model takes {list(spec.shape)}, where -1 is "
            "any size; nest the lists so"
        )


def _wrong(element: object, datatype: str) -> str | None:
    """Why an element is none of this data type; None if it is."""
    if datatype == "BYTES":
        return None if isinstance(element, str) else "BYTES takes strings"
    if datatype == "BOOL":
        return None if isinstance(element, bool) else "BOOL takes true and false"
    if isinstance(element, bool) or not isinstance(element, int | float):
        return f"{datatype} takes numbers"
    if datatype.startswith(("INT", "UINT")):
        return _wrong_integer(element, datatype)
    return None


def _wrong_integer(element: float, datatype: str) -> str | None:
    if not isinstance(element, int):
        return f"{datatype} takes whole numbers"
    limits = np.iinfo(numpy_dtype(datatype))
    if not limits.min <= element <= limits.max:
        return f"{datatype} goes from {limits.min} to {limits.max}"
    return None


def _array(elements: list[object], datatype: str, name: str) -> np.ndarray:
    try:
        dtype = numpy_dtype(datatype)
    except WireError as error:  # BF16 without its package
        raise invalid(f"{name}: {error}") from error
    if dtype.kind != "f" and datatype != "BF16":
        return np.array(elements, dtype)
    try:
        exact = np.array(elements, np.float64)
    except OverflowError as error:
        raise invalid(f"{name} holds a number beyond what {datatype} can hold") from error
    with np.errstate(over="ignore"):
        narrowed = exact.astype(dtype)
    if not np.array_equal(np.isfinite(exact), np.isfinite(narrowed.astype(np.float64))):
        raise invalid(f"{name} holds a number beyond what {datatype} can hold")
    return narrowed
