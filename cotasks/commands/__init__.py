"""The commands of `cotasks`, one function each: it parses, calls one function of the package, and prints."""
