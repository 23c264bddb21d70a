"""Trusted scoring of stored predictions. (Not `score`: `hepchallenge.score` is the function.)"""
