"""The website in a real browser, over a real instance."""
