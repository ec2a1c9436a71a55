"""The command line: what people type, over the HTTP API; the parts are loaded by name only when they are asked for."""
