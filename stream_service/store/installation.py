"""What this installation is known by, for ever; it goes along with a copy of the database."""

from servicekit.store.sqlite import Connections, busy_as_unavailable


def installation_of(connections: Connections) -> str:
    """The installation's own ident, chosen by chance when the database was made."""
    with busy_as_unavailable():
        ((ident,),) = connections.get().execute("SELECT ident FROM installation")
    return str(ident)
