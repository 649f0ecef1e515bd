"""Code that the stages share: params, flags, paths, files, progress."""
