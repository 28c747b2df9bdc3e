"""What both services know of television, as pure functions: names of channels, recordings as endless streams."""
