"""AMQP 1.0, the subset that service clients of an IoT hub use: bytes in, events out."""
