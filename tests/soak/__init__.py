"""Long runs against a running service; `make soak` starts them."""
