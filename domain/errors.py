"""The one error tree.

    LedgerError
    ├── RefusedError        a rule says no; nothing was written
    │   ├── MalformedError      the input is not what its format says
    │   ├── NotAuthorisedError  a signature, key, role or credential does not permit this
    │   ├── ConflictError       the same command id with another body, or a stream moved on
    │   ├── ErasedError         it is sealed under a data key that was destroyed
    │   └── UnknownError        a named thing does not exist (as far as the asker may know)
    ├── VerificationError   evidence, a proof, a log or a signature does not verify
    └── UnavailableError    something outside did not answer; safe to repeat

Texts name what disagreed and what to do. They never hold secrets, nor anything of another tenant.
"""

from collections.abc import Sequence


class LedgerError(Exception):
    """Root of every error that this program raises on purpose."""


class RefusedError(LedgerError):
    """A rule of the domain says no. Nothing was written."""


class MalformedError(RefusedError):
    """Input that does not follow its format.

    Args:
        text: what is wrong.
        fields: every member at fault, by its JSON pointer (RFC 6901), and what is wrong with it; none: it is no member.
    """

    def __init__(self, text: str, fields: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(text)
        self.fields = tuple(fields)


class NotAuthorisedError(RefusedError):
    """No key, role or credential in force permits the act."""


class ConflictError(RefusedError):
    """A command id used again with another body, or a stream that moved on."""


class ErasedError(RefusedError):
    """What was asked for is sealed under a data key that was destroyed: nobody can read it here any more."""

    def __init__(self) -> None:
        super().__init__("this tenant's data key was destroyed: nothing of its log can be read or written any more")


class UnknownError(RefusedError):
    """The named thing does not exist, as far as the asker may know."""


class VerificationError(LedgerError):
    """A signature, proof, log or piece of evidence does not verify."""


class UnavailableError(LedgerError):
    """Something outside did not answer. Repeating is safe."""
