"""Where each stream looked, and what it saw there."""
