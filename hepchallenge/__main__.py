"""`python -m hepchallenge` is the command line."""

from hepchallenge.cli import main

if __name__ == "__main__":
    main()
