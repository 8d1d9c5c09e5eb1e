"""The exception for mistakes that the user can mend."""


class UserError(ValueError):
    """An argument, a file or a combination of settings that cannot work; the message says what to change.

    The command line prints the message alone; every other exception is a bug and keeps its traceback.
    """
