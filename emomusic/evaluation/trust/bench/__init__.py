"""What all parts work on: the clips, the folds, kernels shared among fits, tasks that are kept."""
