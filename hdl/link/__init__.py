"""The host link: packets over a UART that carry the streams and registers of any core."""
