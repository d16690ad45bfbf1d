"""What needs no process and no network."""
