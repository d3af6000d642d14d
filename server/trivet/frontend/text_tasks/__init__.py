"""The language tasks of trivet.v1.TextService: one module each, and `table` has them all."""
