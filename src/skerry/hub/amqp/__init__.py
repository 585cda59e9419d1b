"""The AMQP front: what Microsoft's service SDKs do over AMQP only (contract §4.8)."""
