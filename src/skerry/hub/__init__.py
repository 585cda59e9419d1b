"""The central hub: registry, twins, methods, deployments and telemetry behind Azure IoT Hub's protocols."""
