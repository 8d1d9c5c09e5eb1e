"""Networks in Flax Linen, behind `types.Network`."""
