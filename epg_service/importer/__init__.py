"""One run of an import, from the provider to the visible guide."""
