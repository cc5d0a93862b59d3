"""Whose an execution is: to everybody but its node there is no such execution."""

from domain.errors import ErasedError, MalformedError, UnknownError
from infrastructure.commands.loading import load_reserved, log_of
from infrastructure.ledger import Ledger


def require_own(ledger: Ledger, execution_id: str, node: str) -> None:
    """Make sure that an execution was reserved for a node.

    Raises:
        UnknownError: when it was not, or there is none, or it is no id: these can't be told apart.
    """
    try:
        found = ledger.once("node of execution", execution_id, lambda: _node_of(ledger, execution_id))
    except (UnknownError, ErasedError, MalformedError, ValueError):
        found = ""
    if found != node:
        raise UnknownError("there is no such execution of this node")


def _node_of(ledger: Ledger, execution_id: str) -> str:
    return load_reserved(ledger, log_of(ledger, execution_id), execution_id).node
