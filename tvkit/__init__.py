"""What both services know of television, as pure functions: channel names normalised, recordings made endless streams."""
