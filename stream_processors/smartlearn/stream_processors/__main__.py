"""`python -m smartlearn.stream_processors`: one worker."""

from smartlearn.stream_processors.worker import main

if __name__ == "__main__":
    main()
