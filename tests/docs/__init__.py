"""The pages of documentation, built."""
