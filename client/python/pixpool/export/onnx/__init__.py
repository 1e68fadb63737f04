"""ONNX files as a source: read by OpenVINO, checked against ONNX Runtime, served by the engine openvino."""
