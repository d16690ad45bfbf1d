"""Verbs without a domain: processes, files, archives, the cache, typed reading of TOML, progress."""
