"""``python -m tincan`` is the same command as ``tin-can``."""

from tincan.cli.main import run

if __name__ == "__main__":
    run()
