"""Benchmarks, run as `python -m benchmarks.NAME`; `pip install -e ".[bench]"` installs the rivals."""
