"""What must hold for any bytes. `targets` say it; the suite tries them with hypothesis, `make fuzz`
with atheris, which looks for bytes that take new ways through the code."""
