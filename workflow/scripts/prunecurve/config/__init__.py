"""The config of a study: its keys (`model.py`), the check of its values, and what follows from them."""
