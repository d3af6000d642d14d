"""The life of a model's process: describe, start, execute until told to close."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trivet_backends.python.child import loading
from trivet_backends.python.child.calls import Calls
from trivet_backends.python.child.channel import Channel, end_with_the_server
from trivet_backends.python.child.loading import Unusable
from trivet_backends.python.child.own_form import Context, OwnForm
from trivet_backends.python.child.request import InferenceRequest
from trivet_backends.python.child.triton_form import TritonForm
from trivet_backends.python.frames import Kind, Reader, Writer

Form = TritonForm | OwnForm


def main(argv: Sequence[str]) -> int:
    """argv: a ring's bytes, the descriptors of the lifeline and the memory, four eventfds."""
    ring_bytes, lifeline, memory, *eventfds = map(int, argv)
    end_with_the_server(lifeline)
    channel = Channel(memory, ring_bytes, eventfds)
    Serving(channel).run()
    sys.stdout.flush()
    return 0


class Serving:
    """Answers the server's messages in the main thread, one at a time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._file = Path()
        self._model: type | None = None
        self._form_name = ""
        self._form: Form | None = None
        self._decoupled = False

    def run(self) -> None:
        """Return when the server says so and the model is closed."""
        answer: Mapping[Kind, Callable[[Reader], None]] = {
            Kind.DESCRIBE: self._describe,
            Kind.START: self._start,
            Kind.EXECUTE: self._execute,
        }
        while (message := self._channel.next_work()).kind is not Kind.CLOSE:
            answer[message.kind](message)
            del message  # its arrays live in it
        InferenceRequest.caller = None
        if self._form is not None:
            self._form.close()

    def _describe(self, message: Reader) -> None:
        asked = message.json()
        self._file = Path(asked["file"])
        try:
            self._model = loading.model_class(loading.imported(self._file))
            self._form_name = loading.form_of(self._model)
            config = loading.completed(self._model, asked["config"], self._file)
        except Unusable as fault:
            self._refuse(fault)
            return
        self._tell(Kind.TOLD, {"form": self._form_name, "config": config})

    def _start(self, message: Reader) -> None:
        args = message.json()
        self._decoupled = args["decoupled"]
        assert self._model is not None
        try:
            if self._form_name == "triton":
                self._form = TritonForm(self._model, args["args"], self._channel, self._file)
            else:
                context = _context(args, self._file)
                self._form = OwnForm(
                    self._model, context, self._form_name, self._channel, self._file
                )
        except (Exception, SystemExit) as error:
            self._refuse(loading.failed_to_start(error, self._file))
            return
        InferenceRequest.caller = Calls(self._channel)  # nobody would listen before
        self._channel.send(Writer(Kind.READY))

    def _execute(self, message: Reader) -> None:
        assert self._form is not None
        if self._decoupled:
            self._form.stream(message)
        else:
            self._form.execute(message)

    def _refuse(self, fault: Unusable) -> None:
        self._tell(Kind.REFUSED, {"what": fault.what, "cure": fault.cure})

    def _tell(self, kind: Kind, value: Mapping[str, Any]) -> None:
        message = Writer(kind)
        message.json(value)
        self._channel.send(message)


def _context(args: Mapping[str, Any], file: Path) -> Context:
    given = args["args"]
    gpu = given["model_instance_kind"] == "GPU"
    return Context(
        name=given["model_name"],
        version=int(given["model_version"]),
        folder=file.parent,
        config=args["config"],
        instance=given["model_instance_name"],
        device=f"cuda:{given['model_instance_device_id']}" if gpu else "cpu",
    )
