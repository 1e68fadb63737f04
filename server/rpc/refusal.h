// The end of a call that never began.
#pragma once

#include <new>
#include <utility>

#include "grpcpp/generic/async_generic_service.h"

namespace pixpool {

// Ends a call with a status. Null where there is no memory even for that; gRPC then ends the call.
inline grpc::ServerGenericBidiReactor* Refuse(grpc::Status status) noexcept {
  class Refusal final : public grpc::ServerGenericBidiReactor {
   public:
    void OnDone() override { delete this; }
  };
  auto* refusal = new (std::nothrow) Refusal;
  if (refusal != nullptr) refusal->Finish(std::move(status));
  return refusal;
}

}  // namespace pixpool
