#include "server/image/damage.h"

#include <algorithm>

#include "server/base/error.h"
#include "server/base/text.h"
#include "server/image/codec.h"
#include "server/image/options.h"

namespace pixpool {
namespace {

struct KindText {
  std::string_view name;
  std::string_view words;
};

constexpr KindText kKinds[kDamageKindCount] = {
    {"header", "a field of its headers is wrong"},
    {"extra_bytes", "there are stray bytes between its parts"},
    {"no_end", "its end marker is missing"},
    {"checksum", "a checksum does not match"},
    {"data", "its compressed data is corrupt, so that pixels may be wrong"},
    {"missing_data", "its compressed data ends early, so that the rest of its pixels is made up"},
};

const KindText& TextOf(DamageKind kind) { return kKinds[static_cast<int>(kind)]; }

std::string Words(const Damage& damage) {
  std::string words(TextOf(damage.kind).words);
  if (!damage.detail.empty()) words += Concat(" (", damage.detail, ")");
  return words;
}

}  // namespace

std::string_view DamageKindName(DamageKind kind) { return TextOf(kind).name; }

std::vector<std::string_view> DamageKindNames() {
  std::vector<std::string_view> names;
  for (const KindText& kind : kKinds) names.push_back(kind.name);
  return names;
}

bool DamageList::Has(DamageKind kind) const {
  return std::any_of(damages_.begin(), damages_.end(),
                     [kind](const Damage& damage) { return damage.kind == kind; });
}

void DamageList::Add(DamageKind kind, std::string_view detail) {
  const auto at = std::find_if(damages_.begin(), damages_.end(),
                               [kind](const Damage& damage) { return damage.kind >= kind; });
  if (at != damages_.end() && at->kind == kind) return;
  damages_.insert(at, {kind, std::string(detail)});
}

std::string DamageWarning(ImageFormat format, const Damage& damage) {
  return Concat("the ", CodecOf(format).title, " file is damaged: ", Words(damage));
}

absl::Status RefuseDamaged(ImageFormat format, const DamageList& damages) {
  const Damage& first = *damages.begin();
  ErrorDetails details;
  details.reason = ErrorReason::kImageUndecodable;
  details.metadata = {{"format", std::string(FormatName(format))},
                      {"detail", Words(first)},
                      {"damage", std::string(DamageKindName(first.kind))}};
  return MakeError(details, Concat(DamageWarning(format, first),
                                   "; send an intact copy, or let damaged images be read "
                                   "(input_options.damaged, ",
                                   DamageOptions::kDamaged.flag, ")"));
}

}  // namespace pixpool
