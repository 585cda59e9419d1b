"""A module's program that sends one message and ends: ``python -m tests.system.sdk.send_one OUTPUT TEXT``."""

import sys

from azure.iot.device import IoTHubModuleClient

client = IoTHubModuleClient.create_from_edge_environment()
client.connect()
client.send_message_to_output(sys.argv[2], sys.argv[1])
client.shutdown()
