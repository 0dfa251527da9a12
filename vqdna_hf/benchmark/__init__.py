"""Models on tasks: what is run, the scores, and the tables of the paper's shape that they make."""
