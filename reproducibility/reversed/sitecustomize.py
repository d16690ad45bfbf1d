"""Python imports this at start-up where PYTHONPATH has its folder: folders list their files in the opposite order."""

import os

listdir, scandir = os.listdir, os.scandir


def reversed_listdir(path="."):
    """Be os.listdir, the other way round."""
    return sorted(listdir(path), reverse=True)


class Scandir:
    """What os.scandir gives: an iterator that is a context manager."""

    def __init__(self, path="."):
        with scandir(path) as entries:
            self.entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def close(self):
        """Have nothing to close."""


os.listdir, os.scandir = reversed_listdir, Scandir
