"""Models: presets, the hub, the local store, and conversion to ONNX."""
