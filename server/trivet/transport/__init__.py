"""Carrying messages: a transport serves a table of methods (`frontend.method`) on a socket."""
