"""What tests share: fixtures, servers, things to begin with."""
