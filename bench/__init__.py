"""Benchmarks of the product as processes; `python -m bench --help` lists them."""
