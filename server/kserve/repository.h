// RepositoryModelLoad and RepositoryModelUnload.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "inference/grpc_service.pb.h"
#include "server/repository/model_control.h"
#include "server/rpc/unary_reactor.h"

namespace pixpool::kserve {

// The versions that a request to load asks for; nullopt: those that are to serve anyway.
// REQUEST_INVALID naming the parameter.
absl::StatusOr<std::optional<VersionPolicy>> PolicyOf(
    const inference::RepositoryModelLoadRequest& request);

// A call that waits for an order to be carried out, however long that takes. Where its caller goes
// away the order is dropped, but what was begun is not broken off.
template <typename Request, typename Response>
class OrderCall : public UnaryReactor<Request, Response> {
 public:
  OrderCall(RpcMethod method, const CallDeps& deps, grpc::CallbackServerContext* context,
            ModelControl* control)
      : UnaryReactor<Request, Response>(method, deps, context), control_(control) {}

 protected:
  absl::Status MayStart() final { return absl::OkStatus(); }
  void Run() final;
  // Hands the order over.
  using Order = std::function<void(std::shared_ptr<const CallContext>, ModelControl::Done)>;
  // The order of a request, which it does not keep.
  virtual absl::StatusOr<Order> OrderOf(const Request& request) = 0;

  ModelControl* const control_;
};

class UnaryLoad final : public OrderCall<inference::RepositoryModelLoadRequest,
                                         inference::RepositoryModelLoadResponse> {
 public:
  using OrderCall::OrderCall;

 private:
  absl::StatusOr<Order> OrderOf(const inference::RepositoryModelLoadRequest& request) override;
};

class UnaryUnload final : public OrderCall<inference::RepositoryModelUnloadRequest,
                                           inference::RepositoryModelUnloadResponse> {
 public:
  using OrderCall::OrderCall;

 private:
  absl::StatusOr<Order> OrderOf(const inference::RepositoryModelUnloadRequest& request) override;
};

}  // namespace pixpool::kserve
