"""The API from Python: stubs made from the proto files at test time, and small helpers."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import grpc
import numpy as np
from google.rpc import error_details_pb2, status_pb2


class Api:
    def __init__(self, protos: Path, out: Path) -> None:
        import google.rpc
        from grpc_tools import protoc

        # google/rpc comes from the installed package, google/protobuf from the compiler's own copy.
        common = Path(list(google.rpc.__path__)[0]).parents[1]
        builtin = Path(protoc.__file__).parent / "_proto"
        code = protoc.main(
            [
                "protoc",
                f"-I{protos}",
                f"-I{common}",
                f"-I{builtin}",
                f"--python_out={out}",
                f"--grpc_python_out={out}",
                "pixpool/v1/feature_service.proto",
            ]
        )
        assert code == 0, "protoc failed"
        self.pb, self.rpc = _load(out)

    def client(self, target: str) -> Client:
        return Client(self.pb, self.rpc, target)


def _load(out: Path) -> tuple[ModuleType, ModuleType]:
    # The generated package is called pixpool too: it is added to the path of the installed one, in
    # front of modules there that another environment's compiler may have made.
    import pixpool

    (out / "pixpool/v1/__init__.py").touch()  # or a package further back would win
    pixpool.__path__.insert(0, str(out / "pixpool"))
    sys.path.append(str(out))
    return (
        importlib.import_module("pixpool.v1.feature_service_pb2"),
        importlib.import_module("pixpool.v1.feature_service_pb2_grpc"),
    )


class Client:
    def __init__(self, pb: ModuleType, rpc: ModuleType, target: str) -> None:
        self.pb = pb
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(target, options=options)
        self.stub = rpc.FeatureServiceStub(self.channel)

    def head(self, text: str):
        """A head from "kind:name=value,...": lists as 2x4, "l2" for l2_normalized, "layer=..." for
        the layer, "encoding=ENCODING_..." for the encoding.
        """
        kind, _, rest = text.partition(":")
        head = self.pb.Head()
        message = getattr(head, kind)
        message.SetInParent()
        for part in filter(None, rest.split(",")):
            name, _, value = part.partition("=")
            if name == "l2":
                head.l2_normalized = True
            elif name == "layer":
                head.layer = value
            elif name == "encoding":
                head.encoding = self.pb.Encoding.Value(value)
            else:
                _set(message, name, value)
        return head

    def image(self, source: Path | bytes | np.ndarray, image_id: str = ""):
        if isinstance(source, np.ndarray):
            height, width, _ = source.shape
            raw = self.pb.RawImage(pixels=source.tobytes(), height_px=height, width_px=width)
            return self.pb.Image(image_id=image_id, raw=raw)
        data = source.read_bytes() if isinstance(source, Path) else source
        return self.pb.Image(image_id=image_id, encoded=data)

    def extract(self, images, heads=(), timeout: float = 60, **fields):
        request = self.pb.ExtractFeaturesRequest(
            images=[self.image(i) for i in images], heads=[self.head(h) for h in heads], **fields
        )
        return self.stub.ExtractFeatures(request, timeout=timeout)

    def features(self, source, *heads: str, **fields) -> list[np.ndarray]:
        """One array a head, in its shape, for one image that must succeed."""
        result = self.extract([source], heads, **fields).results[0]
        assert result.WhichOneof("outcome") == "features", result.status.message
        return [as_array(h) for h in result.features.head_results]


def _set(message, name: str, value: str) -> None:
    field = message.DESCRIPTOR.fields_by_name[name]
    if isinstance(getattr(message, name), (bool,)):
        setattr(message, name, value == "true")
    elif field.cpp_type == field.CPPTYPE_FLOAT:
        setattr(message, name, float(value))
    elif field.cpp_type == field.CPPTYPE_STRING:
        setattr(message, name, value)
    elif field.cpp_type == field.CPPTYPE_ENUM:
        setattr(message, name, field.enum_type.values_by_name[value].number)
    elif hasattr(getattr(message, name), "extend"):
        getattr(message, name).extend(int(v) for v in value.split("x"))
    else:
        setattr(message, name, int(value))


def as_array(head_result) -> np.ndarray:
    return np.asarray(head_result.values, np.float32).reshape(list(head_result.shape))


def reason(error: grpc.RpcError | status_pb2.Status) -> str:
    """ErrorInfo.reason of a failed call or of an image's status."""
    info = error_details_pb2.ErrorInfo()
    return info.reason if _unpack(error, info) else ""


def field_paths(error: grpc.RpcError | status_pb2.Status) -> list[str]:
    """The fields that BadRequest of a failed call or of an image's status names."""
    request = error_details_pb2.BadRequest()
    return [v.field for v in request.field_violations] if _unpack(error, request) else []


def _unpack(error: grpc.RpcError | status_pb2.Status, into) -> bool:
    """Fills `into` with the first error detail of its type."""
    if isinstance(error, grpc.RpcError):
        blob = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
        error = status_pb2.Status.FromString(blob)
    return any(detail.Unpack(into) for detail in error.details)
