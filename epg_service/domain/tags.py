"""What a search is narrowed by, as one number a programme: its set of categories, whether it is new, a premiere."""

NEW = 1
PREMIERE = 2
FLAG_BITS = 2


def tag_of(categories: int, flags: int) -> int:
    """The tag of a numbered set of categories with `NEW` and `PREMIERE`."""
    return categories << FLAG_BITS | flags
