"""The services: bytes in, bytes out. `method` is what a transport has to know of them."""
