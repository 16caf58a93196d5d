"""The development server: TF Serving's REST and gRPC interface over exported models, for a laptop and for tests."""
