"""The one exception of the package."""

from __future__ import annotations


class Error(Exception):
    """A failure of the codec, of an input, of an output or of a store.

    ``code`` is a stable name: ``format``, ``corrupt``, ``truncated``, ``unsupported``,
    ``base-mismatch``, ``limit``, ``invalid-argument`` or ``io``; for stores, also ``storage``,
    ``damaged``, ``not-found``, ``expired`` or ``failed``. ``file`` is the path of the file
    at fault and ``tensor`` the name of the tensor, where there is a single one.
    """

    def __init__(
        self,
        message: str,
        code: str = "failed",
        file: str | None = None,
        tensor: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.file = file
        self.tensor = tensor

    def __reduce__(self) -> tuple[type[Error], tuple[str, str, str | None, str | None]]:
        return type(self), (str(self), self.code, self.file, self.tensor)


def invalid(message: str, tensor: str | None = None) -> Error:
    """Creates the error of a wrong argument."""
    return Error(message, "invalid-argument", None, tensor)
