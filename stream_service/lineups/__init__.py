"""From streams to a published lineup: build, publish, and the catalogue viewers are served from."""
