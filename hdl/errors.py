"""The errors a caller can cause."""


class Error(ValueError):
    """A mistake of the caller: one message that says what was wrong, where, and what is allowed."""


class ConfigError(Error):
    """A parameter, or a combination of parameters, that a template does not accept."""
