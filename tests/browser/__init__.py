"""What needs a browser, apart from what packagers run."""
