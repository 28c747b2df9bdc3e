"""Where channels come from: a reader for each type of source, and the loading of one source."""
