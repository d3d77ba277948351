"""The networks before the class scores: each a function from scaled pixels to its last convolutional map."""
