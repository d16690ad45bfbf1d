"""Mutated input for every reader."""
