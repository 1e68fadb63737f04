"""The style of our own .proto files, read from protoc's descriptors with their comments.

The rules are those of Google's API improvement proposals (AIP) and of buf's style guide that a
program can check. The files under proto/inference/ carry names published by others and are not
checked.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import google.api
from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2

from project_tree import ROOT

Field = descriptor_pb2.FieldDescriptorProto
UNSIGNED = {Field.TYPE_UINT32, Field.TYPE_UINT64, Field.TYPE_FIXED32, Field.TYPE_FIXED64}
VAGUE = {".google.protobuf.Any", ".google.protobuf.Struct", ".google.protobuf.Value"}

# Repeated fields whose names stay singular, and why.
SINGULAR = {
    "kernel_size": "torch's name; one value or two for both axes",
    "stride": "torch's name; one value or two for both axes",
    "padding": "torch's name; one value or two for both axes",
    "dilation": "torch's name; one value or two for both axes",
    "output_size": "torch's name; height and width",
    "shape": "the extents of one tensor",
    "mean": "torchvision's name; a value per channel",
    "std": "torchvision's name; a value per channel",
}
PLURAL = re.compile(r"(s|indices|data)$")
SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*$")
CAMEL = re.compile(r"([A-Z][a-z0-9]*)+$")
UPPER_SNAKE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$")
# AIP-140: no prepositions in field names.
PREPOSITIONS = {
    "after",
    "at",
    "before",
    "between",
    "by",
    "for",
    "from",
    "in",
    "of",
    "on",
    "to",
    "with",
    "without",
}


class Checker:
    """Collects what is wrong with one file. Elements are addressed by their path in the
    FileDescriptorProto.
    """

    def __init__(self, file, messages):
        self.file = file
        self.messages = messages  # every message of the set, by full name with a leading dot
        self.locations = {
            tuple(location.path): location for location in file.source_code_info.location
        }
        self.problems = []

    def report(self, path, text):
        location = self.locations.get(tuple(path))
        line = f":{location.span[0] + 1}" if location else ""
        self.problems.append(f"{self.file.name}{line}: {text}")

    def check_comment(self, path, name):
        location = self.locations.get(tuple(path))
        comment = location.leading_comments.strip() if location else ""
        if not comment:
            self.report(path, f"{name} has no comment")
        elif comment[-1] not in ".:?)":
            self.report(
                path, f"the comment of {name} is not a sentence: it ends in '{comment[-20:]}'"
            )

    def check_file(self):
        file = self.file
        folder = pathlib.PurePosixPath(file.name).parent
        if file.syntax != "proto3":
            self.report([12], "syntax is not proto3")
        if str(folder).replace("/", ".") != file.package:
            self.report([2], f"package {file.package} is not the folder {folder}")
        if not re.search(r"\.v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?$", file.package):
            self.report([2], f"package {file.package} does not end in a version")
        if not SNAKE.match(pathlib.PurePosixPath(file.name).stem) or re.search(
            r"(^|/)v\d+\.proto$", file.name
        ):
            self.report([], "the file is not named after its API in lower_snake_case")
        self.check_order()
        for i, service in enumerate(file.service):
            self.check_service([6, i], service)
        for i, message in enumerate(file.message_type):
            self.check_message([4, i], message)
        for i, enum in enumerate(file.enum_type):
            self.check_enum([5, i], enum)
        self.check_field_behavior()

    def check_order(self):
        """AIP-191: services, then messages, then enums."""
        last = -1
        for tag, elements in (
            (6, self.file.service),
            (4, self.file.message_type),
            (5, self.file.enum_type),
        ):
            lines = [self.locations[(tag, i)].span[0] for i in range(len(elements))]
            if lines and min(lines) < last:
                index = lines.index(min(lines))
                self.report(
                    [tag, index],
                    f"{elements[index].name}: services come first, then messages, then enums",
                )
            last = max([last, *lines])

    def check_service(self, path, service):
        self.check_comment(path, service.name)
        if not CAMEL.match(service.name) or not service.name.endswith("Service"):
            self.report(path, f"service {service.name} is not named SomethingService")
        for i, method in enumerate(service.method):
            where = [*path, 2, i]
            self.check_comment(where, method.name)
            if not CAMEL.match(method.name) or method.name.endswith("Async"):
                self.report(where, f"rpc {method.name} is not in UpperCamelCase without Async")
            for kind, wanted in ((method.input_type, "Request"), (method.output_type, "Response")):
                if kind != f".{self.file.package}.{method.name}{wanted}":
                    self.report(
                        where,
                        f"rpc {method.name} takes or gives {kind}, "
                        f"not its own {method.name}{wanted}",
                    )

    def check_message(self, path, message):
        self.check_comment(path, message.name)
        if not CAMEL.match(message.name):
            self.report(path, f"message {message.name} is not in UpperCamelCase")
        for i, field in enumerate(message.field):
            self.check_field([*path, 2, i], message.name, field)
        for i, oneof in enumerate(message.oneof_decl):
            # A oneof of an optional field is made by protoc and has no place of its own.
            members = (field for field in message.field if field.HasField("oneof_index"))
            if any(field.oneof_index == i and not field.proto3_optional for field in members):
                self.check_comment([*path, 8, i], f"oneof {message.name}.{oneof.name}")
                self.check_name([*path, 8, i], f"{message.name}.{oneof.name}", oneof.name)
        for i, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                self.check_message([*path, 3, i], nested)
        for i, enum in enumerate(message.enum_type):
            self.check_enum([*path, 4, i], enum)

    def check_name(self, path, full, name):
        if not SNAKE.match(name):
            self.report(path, f"{full} is not in lower_snake_case")
        if words := PREPOSITIONS.intersection(name.split("_")):
            self.report(path, f"{full} has the preposition '{min(words)}' in its name")
        if name.startswith("is_"):
            self.report(path, f"{full}: no is_ in names")

    def check_field(self, path, message_name, field):
        full = f"{message_name}.{field.name}"
        self.check_comment(path, full)
        self.check_name(path, full, field.name)
        if field.type in UNSIGNED:
            self.report(path, f"{full} is unsigned; use a signed type")
        if field.type_name in VAGUE:
            self.report(path, f"{full} is {field.type_name[1:]}; use a oneof")
        repeated = field.label == Field.LABEL_REPEATED
        if repeated and not PLURAL.search(field.name) and field.name not in SINGULAR:
            self.report(path, f"{full} is repeated and not in the plural")

    def check_enum(self, path, enum):
        self.check_comment(path, enum.name)
        prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
        for i, value in enumerate(enum.value):
            where = [*path, 2, i]
            self.check_comment(where, value.name)
            if not UPPER_SNAKE.match(value.name) or not value.name.startswith(prefix):
                self.report(
                    where,
                    f"{value.name} does not start with {prefix}, or is not in UPPER_SNAKE_CASE",
                )
        if enum.value[0].number != 0 or enum.value[0].name != prefix + "UNSPECIFIED":
            self.report(
                [*path, 2, 0], f"the first value of {enum.name} is not {prefix}UNSPECIFIED = 0"
            )

    def check_field_behavior(self):
        """AIP-203: every field of every message that a request holds says how it behaves."""
        requests = {method.input_type for service in self.file.service for method in service.method}
        for name in sorted(self.reachable(requests)):
            if name not in self.messages or not name.startswith(f".{self.file.package}."):
                continue
            path, message = self.messages[name]
            for i, field in enumerate(message.field):
                if not field.options.Extensions[field_behavior_pb2.field_behavior]:
                    self.report(
                        [*path, 2, i],
                        f"{message.name}.{field.name} is part of a request "
                        "and has no field_behavior",
                    )

    def reachable(self, names):
        seen, todo = set(), list(names)
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self.messages:
                fields = self.messages[name][1].field
                todo += [field.type_name for field in fields if field.type == Field.TYPE_MESSAGE]
        return seen


def index_messages(file, path=(), prefix=None, messages=None):
    """Messages of a file, nested ones too: full name -> (path, descriptor)."""
    found = {}
    messages = file.message_type if messages is None else messages
    prefix = f".{file.package}" if prefix is None else prefix
    for i, message in enumerate(messages):
        where = (*path, 3 if path else 4, i)
        found[f"{prefix}.{message.name}"] = (where, message)
        found.update(index_messages(file, where, f"{prefix}.{message.name}", message.nested_type))
    return found


def describe(proto_root, names):
    """protoc's descriptors of the files `names` below `proto_root`."""
    includes = pathlib.Path(list(google.api.__path__)[0]).parent.parent
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "set.pb")
        subprocess.run(
            [
                "protoc",
                "-I",
                str(proto_root),
                "-I",
                str(includes),
                "--include_source_info",
                "--include_imports",
                f"--descriptor_set_out={out}",
                *names,
            ],
            check=True,
        )
        return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file


def check_protos(proto_root=ROOT / "proto"):
    """All problems of the files below proto_root/pixpool."""
    names = [
        str(path.relative_to(proto_root))
        for path in sorted((proto_root / "pixpool").rglob("*.proto"))
    ]
    files = describe(proto_root, names)
    messages = {}
    for file in files:
        messages.update(index_messages(file))
    problems = []
    for file in files:
        if file.name in names:
            checker = Checker(file, messages)
            checker.check_file()
            problems += checker.problems
    return problems


if __name__ == "__main__":
    found_problems = check_protos()
    print(*found_problems, sep="\n")
    sys.exit(bool(found_problems))
