#include "server/rpc/enum_values.h"

#include "server/base/text.h"

namespace pixpool {

std::string UnknownValue(std::string_view field, const google::protobuf::EnumDescriptor& type,
                         int number) {
  std::string values;
  for (int i = 1; i < type.value_count(); ++i) {
    if (i > 1) values += i + 1 == type.value_count() ? " or " : ", ";
    values += Concat(type.value(i)->name(), " (", type.value(i)->number(), ")");
  }
  return Concat(field, " has the unknown value ", number, "; set ", values, ", or leave it out");
}

}  // namespace pixpool
