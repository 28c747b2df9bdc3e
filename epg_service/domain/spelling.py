"""One channel, several spellings: feeds write an id in other letters in `<channel>` than in `<programme>`."""


class Spelling:
    """Which name a channel of a file goes by. Ids are one when they differ in case only, unless both are declared."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._declared: set[str] = set()

    def declared(self, channel: str) -> str:
        """The name of a channel that the file declares under this id."""
        name = self._first.setdefault(channel.casefold(), channel)
        if name in self._declared and name != channel:
            name = channel
        self._declared.add(name)
        return name

    def used(self, channel: str) -> str:
        """The name of the channel that a programme means by this id."""
        if channel in self._declared:
            return channel
        return self._first.setdefault(channel.casefold(), channel)
