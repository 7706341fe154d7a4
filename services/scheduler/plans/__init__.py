"""Run plans: from manifests and a submission to a plan, and from a plan to the spec of a stage. Pure."""
