"""What speaks over the network on behalf of every part: the HTTP client and the server wrapper."""
