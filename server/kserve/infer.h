// ModelInfer and ModelStreamInfer: conversion on both sides of Pipeline::Extract.
#pragma once

#include "grpcpp/generic/async_generic_service.h"
#include "inference/grpc_service.pb.h"
#include "server/kserve/statistics.h"
#include "server/rpc/unary_reactor.h"

namespace pixpool::kserve {

// One call of ModelInfer. `statistics` is the service's.
class UnaryInfer final
    : public WorkReactor<inference::ModelInferRequest, inference::ModelInferResponse> {
 public:
  UnaryInfer(RpcMethod method, const CallDeps& deps, grpc::CallbackServerContext* context,
             Statistics* statistics)
      : WorkReactor(method, deps, context), statistics_(statistics) {}

 private:
  void Run() override;
  void Reply(TimePoint start, ExtractResult result);

  Statistics* const statistics_;
};

// Starts a stream: its requests run side by side, at most max_stream_in_flight, and are answered in
// their order.
grpc::ServerGenericBidiReactor* StartStreamInfer(const CallDeps& deps, Statistics* statistics,
                                                 grpc::CallbackServerContext* context);

}  // namespace pixpool::kserve
