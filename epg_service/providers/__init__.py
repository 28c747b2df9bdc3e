"""Where guides come from: downloads, uploads and files, unpacked by content."""
