"""Several processes that take connections, in front of the one that owns the engines.

`supervisor` serves by them. `process` is one as the owner sees it, `answering` the owner's side of
its calls; `child` is what such a process runs, `forwarding` its side. Between the two: `ring`
(bytes), `frames` (what they mean), `flow` (who may send how much), `link` (all that on an event
loop). `output` is what such a process logs and prints, `heartbeat` whether it hangs.
"""
