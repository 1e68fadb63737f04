// Options of a request from single fields by their names, for protocols without messages of ours.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "pixpool/v1/feature_service.pb.h"
#include "proto/message_text.h"
#include "server/input/preprocess.h"
#include "server/pipeline/request.h"

namespace pixpool {

struct RequestOptions {
  InputOptions input;
  RegionOptions regions;
  bool relative = false;  // whether regions' edges are shares of their image's sides
};

// The fields of the API's InputOptions and RegionOptions, and `relative` of its Region. By
// reflection: an option that the proto gains works here without new code.
class OptionFields {
 public:
  // `names_begin` is what complaints of a name put before those there are: "requests take ".
  explicit OptionFields(std::string_view names_begin) : names_begin_(names_begin) {}

  // Sets one; `background` is red,green,blue. Returns the complaint, or "".
  std::string Set(const std::string& name, const FieldValue& value);

  // REQUEST_INVALID, with the field relative to the options.
  absl::StatusOr<RequestOptions> Native() const;

 private:
  const std::string_view names_begin_;
  v1::InputOptions input_;
  v1::RegionOptions regions_;
  v1::Region region_;  // `relative` alone
};

}  // namespace pixpool
