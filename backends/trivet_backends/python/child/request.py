"""`pb_utils.InferenceRequest`, `InferenceResponse` and `InferenceResponseSender`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from trivet_backends.python.child.errors import TritonError, TritonModelException
from trivet_backends.python.child.tensor import Tensor

FINAL = 1  # TRITONSERVER_RESPONSE_COMPLETE_FINAL
SEQUENCE_START, SEQUENCE_END = 1, 2

# Parameters that Triton tells by methods of their own.
_KNOWN = ("sequence_id", "sequence_start", "sequence_end", "priority", "timeout")
_PLAIN = (bool, int, float, str)


class Caller(Protocol):
    """Who asks other models for this process."""

    def ask(self, request: InferenceRequest) -> InferenceResponse: ...


class InferenceRequest:
    """What a client asks; or, made by a model, what it asks another model of this server."""

    caller: Caller | None = None  # set while requests may come

    def __init__(
        self,
        request_id: str = "",
        correlation_id: int | str = 0,
        inputs: Sequence[Tensor] = (),
        requested_output_names: Sequence[str] = (),
        model_name: str = "",
        model_version: int = -1,
        flags: int = 0,
        timeout: int = 0,
        preferred_memory: object = None,
        trace: object = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        """timeout: microseconds. Memory is always the CPU's, and traces are the server's."""
        self._id = request_id
        self._correlation_id = correlation_id
        self._inputs = list(inputs)
        self._outputs = list(requested_output_names)
        self._model_name = model_name
        self._model_version = model_version
        self._flags = flags
        self._timeout = timeout
        self._priority = 0
        self._parameters = dict(parameters or {})
        self._has_left: Callable[[], bool] = lambda: False
        self._sender: InferenceResponseSender | None = None

    @classmethod
    def received(
        cls,
        request_id: str,
        inputs: Sequence[Tensor],
        outputs: Sequence[str],
        parameters: Mapping[str, Any],
        has_left: Callable[[], bool],
        sender: InferenceResponseSender,
    ) -> InferenceRequest:
        """One that the server hands to this model. parameters: all, those of sequences included."""
        own = {name: value for name, value in parameters.items() if name not in _KNOWN}
        request = cls(request_id, parameters.get("sequence_id", 0), inputs, outputs, parameters=own)
        request._flags = SEQUENCE_START * bool(parameters.get("sequence_start"))
        request._flags += SEQUENCE_END * bool(parameters.get("sequence_end"))
        request._timeout = parameters.get("timeout", 0)
        request._priority = parameters.get("priority", 0)
        request._has_left, request._sender = has_left, sender
        return request

    def request_id(self) -> str:
        return self._id

    def correlation_id(self) -> int | str:
        """Of a sequence; 0 if the request is of none."""
        return self._correlation_id

    def inputs(self) -> list[Tensor]:
        return self._inputs

    def requested_output_names(self) -> list[str]:
        return self._outputs

    def parameters(self) -> str:
        """As JSON."""
        return json.dumps(self._parameters)

    @property
    def all_parameters(self) -> dict[str, Any]:
        """With those that methods of their own tell, as a request carries them."""
        known: dict[str, Any] = {"timeout": self._timeout, "priority": self._priority}
        if self._correlation_id:
            known["sequence_id"] = self._correlation_id
            known["sequence_start"] = bool(self._flags & SEQUENCE_START)
            known["sequence_end"] = bool(self._flags & SEQUENCE_END)
        return {**self._parameters, **{name: value for name, value in known.items() if value}}

    def flags(self) -> int:
        return self._flags

    def set_flags(self, flags: int) -> None:
        self._flags = flags

    def timeout(self) -> int:
        """Microseconds that it may wait in its queue; 0: any time."""
        return self._timeout

    def priority(self) -> int:
        return self._priority

    def model_name(self) -> str:
        return self._model_name

    def model_version(self) -> int:
        return self._model_version

    def is_cancelled(self) -> bool:
        """Whether nobody waits for the answer any more; known within a twentieth of a second."""
        return self._has_left()

    def get_response_sender(self) -> InferenceResponseSender:
        if self._sender is None:
            raise TritonModelException("only a request that came from the server has a sender")
        self._sender.was_taken = True
        return self._sender

    @property
    def sender_was_taken(self) -> bool:
        """Whether the model means to answer through it."""
        return self._sender is not None and self._sender.was_taken

    def set_release_flags(self, flags: int) -> None:
        """Raises TritonModelException for what this server has no scheduler for."""
        if flags != ALL:
            raise TritonModelException(
                "requests cannot be rescheduled here (there are no iterative sequences); send the"
                " answers through a response sender in one go"
            )

    def exec(self, decoupled: bool = False) -> InferenceResponse:
        """Ask the model this request names, and wait for its one answer."""
        if decoupled:
            raise TritonModelException("answers of a decoupled model cannot be had by exec() here")
        if self.caller is None:
            raise TritonModelException(
                "other models can be asked while this one executes, not in initialize or finalize"
            )
        return self.caller.ask(self)

    async def async_exec(self, decoupled: bool = False) -> InferenceResponse:
        """As exec(), while other coroutines go on."""
        import asyncio

        return await asyncio.to_thread(self.exec, decoupled)


ALL, RESCHEDULE = 1, 2  # TRITONSERVER_REQUEST_RELEASE_...


class InferenceResponse:
    """Tensors, or an error in their place, and parameters."""

    def __init__(
        self,
        output_tensors: Sequence[Tensor] = (),
        error: TritonError | None = None,
        parameters: Mapping[str, bool | int | float | str] | None = None,
    ) -> None:
        if not isinstance(output_tensors, list | tuple):
            raise TritonModelException('"output_tensors" must be a list')
        for tensor in output_tensors:
            if not isinstance(tensor, Tensor):
                raise TritonModelException(
                    f'"output_tensors" holds a {type(tensor).__name__}; make it a pb_utils.Tensor'
                )
        for name, value in (parameters or {}).items():
            if not isinstance(name, str) or not isinstance(value, _PLAIN):
                raise TritonModelException(
                    f"parameter {name!r} of a response is a {type(value).__name__}; names are str,"
                    " and values bool, int, float or str"
                )
        self._outputs = list(output_tensors)
        self._error = error
        self._parameters = dict(parameters or {})

    def output_tensors(self) -> list[Tensor]:
        return self._outputs

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error

    def parameters(self) -> str:
        """As JSON."""
        return json.dumps(self._parameters)

    @property
    def told(self) -> Mapping[str, bool | int | float | str]:
        """The parameters as they are."""
        return self._parameters


Pass = Callable[[InferenceResponse, bool], None]  # an answer, and whether it is the last


class InferenceResponseSender:
    """Where the answers to one request go. From any thread, also after execute() returned."""

    def __init__(
        self, pass_on: Pass, has_left: Callable[[], bool], over: Callable[[], None]
    ) -> None:
        """over: called when nothing more will come; it may take no lock, see `__del__`."""
        self._pass_on = pass_on
        self._has_left = has_left
        self._over = over
        self._lock = threading.Lock()
        self._is_over = False
        self.was_taken = False  # by the model

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        """Pass an answer on. Waits while the caller has too many unread.

        flags: FINAL with the last one, or alone when the last is sent already.
        """
        if flags not in (0, FINAL):
            raise TritonModelException(f"flags are {flags}; give 0 or the FINAL flag")
        if response is None and not flags:
            raise TritonModelException("give a response, or the FINAL flag, or both")
        if response is not None and not isinstance(response, InferenceResponse):
            raise TritonModelException(
                f"a {type(response).__name__} was sent; make it a pb_utils.InferenceResponse"
            )
        with self._lock:
            if self._is_over:
                raise TritonModelException("a response was sent after the final flag")
            if response is not None:
                self._pass_on(response, bool(flags))
            if flags:
                self._end()

    def is_cancelled(self) -> bool:
        return self._has_left()

    def give_up(self) -> None:
        """Take nothing more: what ended the request is told already."""
        with self._lock:
            self._is_over = True

    def _end(self) -> None:
        self._is_over = True
        self._over()

    def __del__(self) -> None:
        """The model let go of it without the final flag: no other answer can follow.

        Runs wherever the garbage collector does, in the middle of anything.
        """
        if not self._is_over:
            self._end()
