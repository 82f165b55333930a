"""From correctness of the arms to Table 2, the claims and everything else that is read."""
