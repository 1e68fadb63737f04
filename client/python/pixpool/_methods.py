"""The server's methods by their full names, which sync and async channels share."""

from __future__ import annotations

from typing import Any

from pixpool._api import SERVICE, pb


class Methods:
    """Callables of a channel, sync or async; generated stubs carry no types."""

    def __init__(self, channel: Any) -> None:
        def unary(method: str, request: Any, response: Any) -> Any:
            return channel.unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )

        self.extract_features = unary(
            "ExtractFeatures", pb.ExtractFeaturesRequest, pb.ExtractFeaturesResponse
        )
        self.pool_tensor = unary("PoolTensor", pb.PoolTensorRequest, pb.PoolTensorResponse)
        self.list_models = unary("ListModels", pb.ListModelsRequest, pb.ListModelsResponse)
        self.get_model = unary("GetModel", pb.GetModelRequest, pb.GetModelResponse)
        # Two messages of one field each: not worth a dependency on grpcio-health-checking.
        self.check_health = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=encode_health_request,
            response_deserializer=decode_health_response,
        )


def encode_health_request(service: str) -> bytes:
    """grpc.health.v1.HealthCheckRequest: a string, field 1."""
    data = service.encode()
    if len(data) > 127:
        raise ValueError(f"service must have at most 127 bytes, has {len(data)}")
    return b"\x0a" + bytes([len(data)]) + data if data else b""


def decode_health_response(data: bytes) -> bool:
    """grpc.health.v1.HealthCheckResponse: an enum, field 1, where 1 is SERVING."""
    return data == b"\x08\x01"
