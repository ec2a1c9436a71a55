"""What service and website share over HTTP: who asks, one request, the door, the answers' headers."""
