"""A module for each thing that is measured, with `rows(study)`."""
