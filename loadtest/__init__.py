"""A client of the gateway that makes up people, peers and load. Never looks inside the gateway."""
