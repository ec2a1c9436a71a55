"""What a package of somebody else may look like: our parts, with a worker selector and a log store of its own."""
