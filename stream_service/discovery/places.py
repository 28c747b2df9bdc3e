"""Under which address of ours somebody in the network reaches us."""

import socket
from collections.abc import Sequence


class Places:
    """`public_url`: the configured one, '' when there is none. `address`: the one that is listened on, '' for all."""

    def __init__(self, *, public_url: str, address: str, port: int) -> None:
        self._public_url = public_url
        self._address = address
        self._port = port

    def seen_from(self, peer: str) -> str:
        """Our origin for a peer, without a slash at the end; raises `OSError` when there is no way to it."""
        if self._public_url:
            return self._public_url
        return f"http://{self.own_address(peer)}:{self._port}"

    def own_address(self, peer: str) -> str:
        """The address of ours that packets to a peer come from."""
        if self._address:
            return self._address
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((peer, 9))  # sends nothing: the kernel chooses the way
            own: str = probe.getsockname()[0]
        return own

    def all_own(self) -> Sequence[str]:
        """The addresses of ours to announce ourselves by: the one listened on, else the one of the way out."""
        if self._address:
            return [self._address]
        try:
            return [self.own_address("239.255.255.250")]
        except OSError:
            return []
