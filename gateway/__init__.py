"""The stem: rules, use cases, HTTP and wiring over the three leaves `cap`, `channels` and `store`."""
