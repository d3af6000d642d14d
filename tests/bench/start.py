"""From `trivet serve` to ready with the example repository, and what it takes when idle."""

from __future__ import annotations

import time

from tests.bench.results import Row, at_most
from tests.bench.rivals import started
from tests.bench.setting import Setting, say
from tests.bench.subjects import EXAMPLES


def rows(setting: Setting) -> list[Row]:
    seconds, megabytes = [], []
    for number in range(setting.times(3)):
        began = time.perf_counter()
        with started(EXAMPLES, setting.scratch / f"start-{number}.log") as server:
            seconds.append(time.perf_counter() - began)
            megabytes.append(server.rss_mb)
    say(f"ready after {seconds[-1]:.2f} s with {megabytes[-1]:.0f} MB")
    return [
        Row("examples: from `trivet serve` to ready, seconds", seconds, at_most(3)),
        Row("examples: idle memory, MB", megabytes, at_most(400)),
    ]
