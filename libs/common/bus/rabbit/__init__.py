"""The bus on RabbitMQ: one topic exchange, quorum queues, one dead-letter queue.

Uses only features of all versions from RabbitMQ 3.10 to 4.x. It connects on first use, and again after any fault.
aio-pika's "robust" mode is not used: consumers must notice a lost channel, publishers must fail immediately.
"""
