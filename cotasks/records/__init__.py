"""Records: the row and its features, time and boxes, and where rows are loaded from."""
