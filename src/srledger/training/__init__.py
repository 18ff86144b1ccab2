"""Training: one loop for all methods, exact to the bit when it is resumed."""
