"""The tests; `pytest` runs all of them."""
