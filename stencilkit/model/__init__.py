"""Nouns that cross stages: frozen values without I/O."""
