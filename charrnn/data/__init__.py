"""The corpus: fetch it from the web or from disk, and read it chunk by chunk."""
