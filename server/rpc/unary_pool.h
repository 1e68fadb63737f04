// One call of PoolTensor.
#pragma once

#include "pixpool/v1/feature_service.pb.h"
#include "server/rpc/unary_reactor.h"

namespace pixpool {

class UnaryPool final : public WorkReactor<v1::PoolTensorRequest, v1::PoolTensorResponse> {
 public:
  using WorkReactor::WorkReactor;

 private:
  void Run() override;
  void Reply(PoolResult result);
};

}  // namespace pixpool
