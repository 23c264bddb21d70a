"""Jobs on other hosts: what travels to them, what they keep, and what runs there.

Labels stay at home: what is ever sent are staged inputs, submissions, the challenge's Python files, and the
training labels that a fold is fitted with.
"""
