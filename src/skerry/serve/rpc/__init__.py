"""The Open Inference Protocol over gRPC; loaded only where SKERRY_GRPC_PORT asks for it."""
