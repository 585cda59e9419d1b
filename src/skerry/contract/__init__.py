"""The shapes that hub and device share: Azure IoT's public protocols as pure functions and frozen values."""
