"""The IoT Hub dialect of MQTT, both ends."""
