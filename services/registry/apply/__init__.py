"""`mlmesh apply`: parses the manifests that attach an app to the mesh and writes them."""
