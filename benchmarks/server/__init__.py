"""What a server answers, and how fast, on loopback."""
