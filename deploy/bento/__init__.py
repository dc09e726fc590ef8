"""Starting and stopping BentoML over what was packaged."""
