"""Headers as parameters: what the operator lets through to the models (as in Triton)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from trivet.errors import Fault, InvalidConfig
from trivet.frontend.parameters import is_reserved
from trivet.request import Parameters

# RE2's way to ask for upper and lower case to be told apart; Python knows it only within a group.
_SENSITIVE = "(?-i)"


class HeaderForwarder:
    """Turns the headers whose names match a pattern into text parameters of the request.

    Names are matched in any case unless the pattern begins with "(?-i)"; gRPC's are lower-case.
    A match anywhere in the name counts, as it does in Triton. What the protocol itself gives a
    meaning to, such as "priority", and binary headers are never forwarded. A header replaces a
    parameter of the same name: it is set by whoever stands between client and server.
    """

    def __init__(self, pattern: str) -> None:
        """Raises InvalidConfig for a pattern that is no regular expression."""
        sensitive = pattern.startswith(_SENSITIVE)
        try:
            self._pattern = re.compile(
                pattern.removeprefix(_SENSITIVE), re.NOFLAG if sensitive else re.IGNORECASE
            )
        except re.error as error:
            what, cure = f"'{pattern}' is no regular expression: {error}", "correct it"
            raise InvalidConfig([Fault("--grpc-header-forward-pattern", what, cure)]) from None

    def parameters(self, headers: Mapping[str, str | bytes]) -> Parameters:
        """What of a call's headers becomes parameters."""
        return {
            name: value
            for name, value in headers.items()
            if isinstance(value, str) and self._pattern.search(name) and not is_reserved(name)
        }
