"""One training, from its first iteration to its last: what it begins with, its program, what it tells, and many of them."""
