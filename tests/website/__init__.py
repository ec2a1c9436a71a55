"""The website by itself: pages over HTTP, and in a browser."""
