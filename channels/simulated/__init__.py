"""A carrier that reaches nobody: for simulation, demonstrations, tests and proofs."""
