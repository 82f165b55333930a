"""From correctness of subset models to memorization, influence and selected examples."""
