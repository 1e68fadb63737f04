// What the heads that read a vector of the graph share.
#pragma once

#include <string>
#include <string_view>

#include "server/heads/heads.h"

namespace pixpool {

// Whether the model has a vector of this name.
bool HasVector(std::string_view name, const HeadScope& scope);

// Has a head read the vector of this name. False where the model has none such.
bool UseVector(std::string_view name, const HeadScope& scope, HeadSpec& spec);

// For messages: "the bundle has no vector 'vlad'; it has embedding, netvlad", or "it has none".
std::string NoVectorText(std::string_view name, const HeadScope& scope);

}  // namespace pixpool
