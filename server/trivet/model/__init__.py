"""One loaded version of a model: complete its config, load, warm up, infer, drain, close."""
