"""From Linen modules to `Network`s, and from networks to networks."""
