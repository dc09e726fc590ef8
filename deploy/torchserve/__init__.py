"""Starting, stopping and asking TorchServe over a packaged .mar."""
