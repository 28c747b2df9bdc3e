"""The texts that clients read, rendered from a lineup, pure."""
