"""What people and tools read in place of an app's response: HTML pages and OpenAPI documents."""
