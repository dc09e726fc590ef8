"""The run-time half of every task: what a request means and how its answer looks (``base`` says what a task is)."""
