"""The caller has left, and we know it before h2corn cancels the call's task."""

from __future__ import annotations

import asyncio


class Gone(asyncio.CancelledError):
    """Ends a call as its cancellation would, and is no fault that h2corn has to tell of."""
