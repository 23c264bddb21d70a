"""Metrics: small pure kernels (arrays in, number out) and the RAMP score types that wrap them.

A kernel knows nothing of RAMP, files or parts; a score type adds name, direction, precision and the
layout of the prediction arrays. Nothing here reads data or runs a submission.
"""
