"""For tests of trivet and of backends: time under control (`clock`)."""
