"""Top tagging: jets of hadronic top decays against jets of light quarks and gluons."""
