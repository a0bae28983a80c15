"""Networks as modules: the built-in one and those of users, their files and their weights."""
