"""What others have published on CIFAR-100, and what it says about the paper's numbers."""
