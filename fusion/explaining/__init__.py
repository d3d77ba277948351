"""Shows the evidence for a decision: the places where each stream looked, and the pictures that it saw."""
