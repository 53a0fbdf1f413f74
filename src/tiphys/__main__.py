"""`python -m tiphys`."""

from tiphys.cli.main import entrypoint

if __name__ == "__main__":
    entrypoint()
