"""What the platform itself tells people, and how its operators hear that something is not well."""
