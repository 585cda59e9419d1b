"""What each Keras layer becomes in ONNX."""
