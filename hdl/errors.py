"""The errors a caller can cause."""


class Error(ValueError):
    """A mistake of the caller: one message that says what was wrong, where, and what is allowed."""


class ConfigError(Error):
    """A parameter, or a combination of parameters, that a template does not accept.

    Attributes
    ----------
    problems : tuple of (path, message)
        One entry per mistake; ``path`` is a tuple of keys and indices that leads to the parameter,
        empty where no single one is to blame.
    """

    def __init__(self, message: str, problems: tuple[tuple[tuple[str | int, ...], str], ...] = ()):
        super().__init__(message)
        self.problems = problems or (((), message),)
