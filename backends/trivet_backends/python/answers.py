"""What a model's process answers, held against the model's config before anybody else sees it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from trivet.backend.contract import Answer
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import Code, EngineFailed
from trivet.request import ParameterValue
from trivet_backends.python.frames import Named, Reader, Unreadable

_CODES = frozenset(Code)
_INT64 = range(-(1 << 63), 1 << 63)


class ModelFailed(EngineFailed):
    """What the author's code raised or answered, with the status that it chose."""

    def __init__(self, message: str, code: int = Code.INTERNAL) -> None:
        super().__init__(message)
        known = code in _CODES and code != Code.OK
        self.code = Code(code) if known else Code.INTERNAL


class Checker:
    """Reads answers. `what` a config asks of outputs is known once, at load."""

    def __init__(self, config: ModelConfig) -> None:
        self._specs = {spec.name: spec for spec in config.outputs}
        self._front = 1 if config.max_batch_size else 0

    def answer(self, message: Reader, wanted: Collection[str] | None) -> Answer | ModelFailed:
        """One answer out of a message. Raises Unreadable.

        wanted: the outputs that must be there; None: any may be missing. What config.pbtxt does not
        name is left out, as Triton does. An output that does not fit the config is an error.
        """
        if code := message.number():
            return ModelFailed(message.text(), code)
        parameters, tensors = message.json(), message.tensors()
        try:
            _check_parameters(parameters)
            return Answer(self._outputs(tensors, wanted), parameters)
        except EngineFailed as error:
            return ModelFailed(error.message)

    def _outputs(
        self, tensors: Mapping[str, Named], wanted: Collection[str] | None
    ) -> Mapping[str, np.ndarray]:
        for name in self._specs if wanted == () else wanted or ():
            if name not in tensors:
                given = ", ".join(f"'{other}'" for other in tensors) or "none"
                raise EngineFailed(f"its code gave no output '{name}'; it gave {given}")
        for name, named in tensors.items():
            if name in self._specs:
                self._check(named, self._specs[name])
        return {name: named.array for name, named in tensors.items() if name in self._specs}

    def _check(self, named: Named, spec: TensorSpec) -> None:
        if named.datatype != spec.datatype:
            raise EngineFailed(
                f"its code gave output '{spec.name}' as {named.datatype}, and config.pbtxt says"
                f" {spec.datatype}; convert it"
            )
        shape = named.array.shape
        own = shape[self._front :]
        fits = len(own) == len(spec.dims) and len(shape) == len(own) + self._front
        if not fits or any(dim not in (-1, size) for dim, size in zip(spec.dims, own, strict=True)):
            expected = [*([-1] * self._front), *spec.dims]
            raise EngineFailed(
                f"its code gave output '{spec.name}' in shape {list(shape)}, and config.pbtxt says"
                f" {expected}" + (", the batch in front" if self._front else "")
            )


def _check_parameters(parameters: object) -> None:
    """Raises Unreadable, or EngineFailed for a number that no field can carry."""
    if not isinstance(parameters, dict):
        raise Unreadable("parameters that are no map")
    for name, value in parameters.items():
        _check_value(name, value)


def _check_value(name: str, value: ParameterValue) -> None:
    if not isinstance(value, bool | int | float | str):
        raise Unreadable(f"parameter '{name}' of type {type(value).__name__}")
    if isinstance(value, int) and value not in _INT64:
        raise EngineFailed(f"its code gave parameter '{name}' a number of more than 64 bits")
