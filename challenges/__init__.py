"""The built-in challenges: one folder each, with a `problem.py` that ramp-test runs as well."""
