"""The one exception that a user may meet: its message says what to mend."""


class StudyError(Exception):
    """A mistake in the config, the data or an artifact; the message names the key or the file to mend."""
