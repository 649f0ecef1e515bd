"""One small program for each stage of the DVC pipeline, run as `python -m stages.NAME`."""
