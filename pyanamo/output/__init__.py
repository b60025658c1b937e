"""The output of tasks: capture it, store it and read it again."""
