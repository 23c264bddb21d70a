raise SystemExit("a stranger was imported")
