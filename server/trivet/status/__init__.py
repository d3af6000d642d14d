"""What the server shows of itself over HTTP: metrics, and answers to plain probes."""
