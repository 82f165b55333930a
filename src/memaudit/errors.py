"""The exceptions whose message is meant for the user."""


class AuditError(Exception):
    """Bad input: the message names what is wrong, where, and what to do about it.

    Raised for everything a user can mend: configuration, images, files on disk, a training that
    diverged. Whoever runs a job prints the message without a traceback.
    """


class Stopped(Exception):  # noqa: N818, nothing went wrong
    """The process was asked to end, and has saved what it had."""
