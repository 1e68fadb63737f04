// Names and parameters of the protocol to heads and input options.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/grpc_service.pb.h"
#include "server/base/call_context.h"
#include "server/heads/heads.h"
#include "server/rpc/option_fields.h"

namespace pixpool::kserve {

// The heads that the requested outputs name, in their order; none: global_avg. Field paths start
// with "outputs[i]". Errors: HEAD_INVALID for a name, parameter or value that is not known;
// NOT_IMPLEMENTED for what a tensor cannot carry (INT8 with its scales, indices) and for
// parameters of extensions that are not served.
absl::StatusOr<std::vector<HeadRequest>> HeadsFromOutputs(
    const inference::ModelInferRequest& request);

// The parameters of a request that are fields of the API's InputOptions and RegionOptions, and
// `relative` of its Region, by their names. Field paths start with "parameters". Errors:
// REQUEST_INVALID for a name or value that is not known, NOT_IMPLEMENTED for sequences.
absl::StatusOr<RequestOptions> OptionsFromParameters(const inference::ModelInferRequest& request);

// How urgent a request is by its parameter `priority`: "interactive" or "bulk", or Triton's number,
// of which 1 is the highest: 1 is interactive, more is bulk, 0 is `fallback`. REQUEST_INVALID for
// any other value.
absl::StatusOr<Priority> PriorityFromParameters(const inference::ModelInferRequest& request,
                                                Priority fallback);

}  // namespace pixpool::kserve
