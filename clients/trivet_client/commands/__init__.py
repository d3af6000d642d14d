"""Commands of `trivet` that are clients: `infer`, `ready`, `bench`, `stub` and `demo`."""
