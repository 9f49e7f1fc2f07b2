"""What is done to a gateway under load and what it is held to: a module a scenario; `catalogue` lists them."""
