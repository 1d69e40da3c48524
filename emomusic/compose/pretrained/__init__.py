"""Where checkpoints are: in a folder, in the package, on a model hub."""
