"""The composition root: builds the whole server from values, and takes it down in reverse.

Nothing below it reads the environment or a global.
"""

from trivet.app.config import MetricsConfig, ServerConfig
from trivet.app.running import App, running

__all__ = ["App", "MetricsConfig", "ServerConfig", "running"]
