"""What is asked of requests that a browser sends: that a page of ours made it do so.

A browser sends requests for any site it has open, also to servers on its own machine. Three things
keep them out, of which none needs a cookie, since there are none here:

- A request that asks models is JSON by its content type. A form cannot send that, and a script of
  another site has to ask first (CORS preflight), which nobody here allows.
- Where the browser says whose page it was (Origin, Sec-Fetch-Site), it has to be ours.
- A site may have its own name resolve to 127.0.0.1 and then is its own origin ("DNS rebinding").
  But its name is still in Host, so a port of this machine alone takes only names of this machine.
  A port that is open to the network goes by names that we cannot know; whoever opens it says them
  with --page-host, or asks for tokens, which no other site has.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from trivet.errors import InvalidInput, PermissionDenied
from trivet.status.options import PageOptions
from trivet.status.router import Scope

JSON = "application/json"
_LOCAL = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


def check_host(scope: Scope, options: PageOptions) -> None:
    """Raises PermissionDenied for a name that may be a stranger's for this machine."""
    if options.any_host:
        return
    host = _header(scope, b"host")
    name = _name(host)
    if name in options.hosts or _is_local(name):
        return
    raise PermissionDenied(
        f"this page is not known as {name[:80]!r}; open it as localhost, or tell the server that"
        " name with --page-host"
    )


def check_asking(scope: Scope) -> None:
    """Raises PermissionDenied for a request that a page of another site made, InvalidInput for one
    that is no JSON."""
    kind = _header(scope, b"content-type").partition(";")[0].strip().lower()
    if kind != JSON:
        raise InvalidInput(f"the content type is {kind[:80]!r}; send {JSON}")
    site = _header(scope, b"sec-fetch-site")
    origin = _header(scope, b"origin")
    ours = _header(scope, b"host").lower()
    if site not in ("", "same-origin", "none") or (origin and _authority(origin) != ours):
        raise PermissionDenied("a page of another site sent this; use the page of this server")


def _header(scope: Scope, name: bytes) -> str:
    """Of a repeated one all values, so that none hides behind another."""
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


def _name(host: str) -> str:
    """Without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return host


def _authority(origin: str) -> str:
    """Host and port of an origin; "null" has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_local(name: str) -> bool:
    if name in _LOCAL or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
