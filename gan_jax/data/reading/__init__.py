"""Image files: which are listed, how they are decoded, and what becomes of damaged ones."""
