"""Spans and metrics for a collector, by the OpenTelemetry SDK.

`settings` (pure, and free of the SDK) says what is sent where; `tracer` decides what is kept when
a request is over, `spans` makes spans of it, `outlet` holds them until they are sent, `ledger`
counts what was lost, `figures` makes metrics of a look at the server, `exporters` the SDK's own.
The SDK is imported only by a server that is told of a collector.
"""
