"""The corpus: fetched from the web or this machine, and read chunk by chunk."""
