"""The store on an S3 server: `s3://access:secret@host:port/bucket`, with `?tls=1` and `?region=` when needed.

The SDK signs, lists and copies; content is transferred over presigned URLs. Blocking calls of the SDK run in a thread
pool. A presigned URL is valid only for the host it was signed for: one endpoint for services, one for callers.
If callers cannot reach the server, their links lead through databox.
"""
