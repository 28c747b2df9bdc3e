"""Films and series: what is published of them, how they are sent to players, and trees of files for media servers."""
