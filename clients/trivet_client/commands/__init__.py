"""Commands of `trivet` that are clients: `infer` and `demo`."""
