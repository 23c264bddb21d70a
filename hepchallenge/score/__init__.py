"""Trusted scoring of stored predictions; no submission code is alive here."""
