"""The channel service: takes channels from sources, shapes lineups, publishes playlists, relays streams."""
