"""Trusted preparation: public inputs, folds and submissions, with every label kept back."""
