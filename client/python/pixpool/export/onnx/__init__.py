"""ONNX files as a source: read by OpenVINO, which serves them too, checked by ONNX Runtime."""
