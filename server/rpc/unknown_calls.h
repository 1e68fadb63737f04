#pragma once

#include "grpcpp/generic/async_generic_service.h"

namespace pixpool {

// Answers calls of methods that no service has: UNIMPLEMENTED, NOT_IMPLEMENTED, naming the method.
// gRPC's own answer has no text. Thread-safe; must outlive the server.
class UnknownCalls final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;
};

}  // namespace pixpool
