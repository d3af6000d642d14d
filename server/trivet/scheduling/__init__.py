"""Requests wait here until an instance is free; `policy.plan` decides which leave together."""
