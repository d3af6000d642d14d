"""The flags of `trivet finetune`, one module per group of its --help; `parser` has them all."""
