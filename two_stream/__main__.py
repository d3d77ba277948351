"""`python -m two_stream COMMAND` does what `two-stream COMMAND` does."""

from commands.console import main

if __name__ == "__main__":
    main()
