"""Measurements of the whole product as processes; docs/benchmarks.md says how to read them."""
