"""One upstream, many viewers: ring, transport stream, upstream, channel, hub."""
