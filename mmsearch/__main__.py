"""`python -m mmsearch`: the command line, where the script is not on the path."""

from mmsearch.cli.app import main

if __name__ == "__main__":
    main()
