// Enumerations of the API, as errors name their values.
#pragma once

#include <string>
#include <string_view>

#include "google/protobuf/descriptor.h"

namespace pixpool {

// What is wrong with a field whose value its enumeration does not have, and what it may be:
// "crop has the unknown value 7; set CROP_MODE_CENTER (1) or CROP_MODE_NONE (2), or leave it out".
// The value 0 of each is what a field has that is left out.
std::string UnknownValue(std::string_view field, const google::protobuf::EnumDescriptor& type,
                         int number);

}  // namespace pixpool
