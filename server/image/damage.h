// What is wrong with a file whose picture is read all the same.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/image/formats.h"

namespace pixpool {

// Bounded, so that metrics can have it as a label.
enum class DamageKind {
  kHeader,       // a field of a header has a value that it may not have
  kExtraBytes,   // bytes that belong to nothing
  kNoEnd,        // all pixels are there, but the file ends without its end marker
  kChecksum,     // a checksum is not that of the data
  kData,         // compressed data is wrong: pixels may be
  kMissingData,  // compressed data ends before the picture does: the rest is made up
};
inline constexpr int kDamageKindCount = 6;

// The label: "extra_bytes".
std::string_view DamageKindName(DamageKind kind);
std::vector<std::string_view> DamageKindNames();

struct Damage {
  DamageKind kind;
  std::string detail;  // of the first of the kind, in the decoder's words; may be empty
};

// At most one of each kind, in the order of DamageKind.
class DamageList {
 public:
  bool Has(DamageKind kind) const;
  // Without effect if there is one of the kind.
  void Add(DamageKind kind, std::string_view detail);
  bool empty() const { return damages_.empty(); }
  auto begin() const { return damages_.begin(); }
  auto end() const { return damages_.end(); }

 private:
  std::vector<Damage> damages_;
};

// For people: "JPEG is damaged: stray bytes between its parts (...)".
std::string DamageWarning(ImageFormat format, const Damage& damage);

// IMAGE_UNDECODABLE for a damaged picture that is not to be read. `damages` is not empty.
absl::Status RefuseDamaged(ImageFormat format, const DamageList& damages);

}  // namespace pixpool
