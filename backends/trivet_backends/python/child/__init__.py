"""What runs in a model's own process: `boot` is started, `serving` answers the server.

Only numpy and the standard library are imported, since the interpreter may not be the server's.
"""
