// The table of heads: one row from each file of server/heads/kinds. kinds.inc is made by CMake from
// the oneof `kind` of the proto, so that a head without a file, or a file without a head, does not
// build.
#include <utility>
#include <vector>

#include "server/heads/heads.h"

namespace pixpool {

#define PIXPOOL_HEAD_KIND(name, function) HeadType function();
#include "server/heads/kinds.inc"
#undef PIXPOOL_HEAD_KIND

namespace {

HeadType Named(std::string_view name, HeadType type) {
  type.name = name;
  return type;
}

const std::vector<HeadType>& Table() {
  static const auto* const table = new std::vector<HeadType>{
#define PIXPOOL_HEAD_KIND(name, function) Named(#name, function()),
#include "server/heads/kinds.inc"
#undef PIXPOOL_HEAD_KIND
  };
  return *table;
}

}  // namespace

absl::Span<const HeadType> HeadTypes() { return Table(); }

const HeadType* FindHeadType(std::string_view name) {
  for (const HeadType& type : Table()) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

bool HeadFits(const HeadType& type, const HeadScope& scope) {
  return type.fits == nullptr || type.fits(scope);
}

std::string_view HeadReadsName(HeadReads reads) {
  switch (reads) {
    case HeadReads::kMap:
      return "map";
    case HeadReads::kTokens:
      return "tokens";
    case HeadReads::kVector:
      return "vector";
    case HeadReads::kClassifier:
      return "classifier";
  }
  return "";
}

}  // namespace pixpool
