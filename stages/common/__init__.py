"""What the stages do alike: params, flags, paths, files, progress."""
