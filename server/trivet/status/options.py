"""What an operator may say of the page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOptions:
    """playground: whether models can be asked through it.

    hosts: names besides this machine's own that browsers may know the page by.
    any_host: whatever they know it by: the port is open to the network, see `guard`.
    """

    playground: bool = True
    hosts: frozenset[str] = frozenset()
    any_host: bool = False
