// Regions of images between the wire and the pipeline.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/repeated_field.h"
#include "pixpool/v1/feature_service.pb.h"
#include "server/pipeline/request.h"

namespace pixpool {

// REQUEST_INVALID for unknown enum values; the field is relative to the options. Whether what is
// set goes together is left to the pipeline.
absl::StatusOr<RegionOptions> RegionOptionsFromProto(const v1::RegionOptions& options);

// Views of `regions`, which must outlive them.
std::vector<RegionInput> RegionsFromProto(
    const google::protobuf::RepeatedPtrField<v1::Region>& regions);

// One region's result. Takes the values over.
void RegionFeaturesToProto(const ExtractResult& result, RegionFeatures&& region,
                           v1::RegionFeatures* out);

}  // namespace pixpool
