"""Answers that are compared with files, byte by byte."""
