"""The five services of the mesh and the `mlmesh` command that starts them."""
