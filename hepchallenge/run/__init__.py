"""Execution of untrusted submissions on staged inputs: isolation, limits, protocol."""
