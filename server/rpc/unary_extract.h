// One call of ExtractFeatures.
#pragma once

#include "pixpool/v1/feature_service.pb.h"
#include "server/rpc/unary_reactor.h"

namespace pixpool {

class UnaryExtract final
    : public WorkReactor<v1::ExtractFeaturesRequest, v1::ExtractFeaturesResponse> {
 public:
  using WorkReactor::WorkReactor;

 private:
  void Run() override;
  void Reply(ExtractResult result);
};

}  // namespace pixpool
