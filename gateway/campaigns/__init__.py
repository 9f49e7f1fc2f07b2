"""From a CAP alert or a composed message to campaigns: decide, plan, preview, launch, end."""
