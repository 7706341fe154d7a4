"""The built-in Git hosting: `git push` to the mesh itself, checked before it is stored and deployed behind it."""
