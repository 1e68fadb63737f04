// ModelInfer and ModelStreamInfer: conversion on both sides of Pipeline::Extract.
#pragma once

#include "grpcpp/grpcpp.h"
#include "inference/grpc_service.grpc.pb.h"
#include "server/kserve/statistics.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/call.h"

namespace pixpool::kserve {

// What the calls need of the server. Does not own anything.
struct InferDeps {
  CallOptions call;
  Pipeline* pipeline = nullptr;
  Metrics* metrics = nullptr;
  const Clock* clock = nullptr;
  Statistics* statistics = nullptr;
};

// Starts a call; the reactor deletes itself.
grpc::ServerUnaryReactor* StartInfer(const InferDeps& deps, grpc::CallbackServerContext* context,
                                     const inference::ModelInferRequest* request,
                                     inference::ModelInferResponse* response);

// Starts a stream: its requests run side by side, at most max_stream_in_flight, and are answered in
// their order.
grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse>*
StartStreamInfer(const InferDeps& deps, grpc::CallbackServerContext* context);

}  // namespace pixpool::kserve
