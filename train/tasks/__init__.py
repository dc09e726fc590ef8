"""The training half of every task, a module or a package each; ``train.task_table`` names their classes."""
