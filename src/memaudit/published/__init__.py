"""Published scores and annotations of CIFAR, and what they imply for the paper's numbers."""
