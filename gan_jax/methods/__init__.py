"""Parts that one paper alone needs. A new system's own parts go here, one file each."""
