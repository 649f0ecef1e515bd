"""The page on which a trained network runs in the browser: `python -m stages.playground` writes it."""
