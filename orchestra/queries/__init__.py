"""What people and programs may ask: shared by the service and the website, filtered by what the asker may see."""
