"""The register: zones, networks, groups and members, what belongs to a person, and who wants no messages."""
