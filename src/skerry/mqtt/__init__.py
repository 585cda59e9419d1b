"""MQTT 3.1.1, both ends: a codec and sessions without sockets, and thin asyncio ends around them."""
