"""From the rows of all evaluations to statistics over networks, texts and archives."""
