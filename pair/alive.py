"""`python -m pair.alive URL …` ends with 0 when every address answers 200 within 5 s: the containers' health check."""

import http.client
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

_PATIENCE_S = 5.0


def answers(address: str) -> bool:
    """Tell whether a GET of the http address answers 200; a service that does not answer is the expected other case."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException) as error:
        print(f"{address}: {error}", file=sys.stderr)
        return False
    finally:
        connection.close()


def main(addresses: Sequence[str]) -> int:
    """Ask all; without any address there is nothing that could be well."""
    return 0 if addresses and all([answers(address) for address in addresses]) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
