"""The host's end of the link: packets, the session with a board, the ports it runs over."""
