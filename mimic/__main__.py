"""`mimic` and `python -m mimic`."""

from mimic.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
