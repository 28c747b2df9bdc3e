"""What both services know of television, as pure functions: the normalising of channel names, endless streams made of recordings."""
