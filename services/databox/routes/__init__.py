"""What databox answers. Each route reads the request, asks one part, and words the answer."""
