"""What a reader left out or had to mend, counted by kind with a few samples."""

SAMPLES_PER_KIND = 5
SAMPLE_CHARS = 120


class Losses:
    """Counts by kind, and at most five samples of each.

    Only kinds added as `lost` are entries that are missing afterwards; the others are notes (a value that was cut, a
    text in a legacy encoding) that cost no entry.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._samples: dict[str, list[str]] = {}
        self._lost = 0

    def lost(self, kind: str, sample: str) -> None:
        """Count an entry that is left out."""
        self._lost += 1
        self.note(kind, sample)

    def note(self, kind: str, sample: str) -> None:
        """Count something mended or ignored that cost no entry."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        samples = self._samples.setdefault(kind, [])
        if len(samples) < SAMPLES_PER_KIND:
            samples.append(sample[:SAMPLE_CHARS])

    @property
    def entries_lost(self) -> int:
        """How many entries were left out."""
        return self._lost

    def count(self, kind: str) -> int:
        """How often `kind` was met."""
        return self._counts.get(kind, 0)

    def report(self) -> dict[str, dict[str, object]]:
        """`{kind: {"count": n, "samples": [...]}}`, kinds in the order they were first met."""
        return {kind: {"count": n, "samples": list(self._samples[kind])} for kind, n in self._counts.items()}
