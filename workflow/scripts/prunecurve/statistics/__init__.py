"""From the rows of all evaluations to statistics over networks, tables and texts."""
