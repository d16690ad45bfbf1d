"""Properties of all inputs, by hypothesis."""
