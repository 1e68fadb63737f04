#include "server/rpc/raw_service.h"

#include <utility>

#include "grpcpp/impl/codegen/server_callback_handlers.h"
#include "grpcpp/impl/rpc_service_method.h"
#include "server/base/text.h"
#include "server/rpc/caller.h"
#include "server/rpc/guard.h"
#include "server/rpc/refusal.h"
#include "server/rpc/status.h"

namespace pixpool {

RawService::RawService(std::string_view service, const CallDeps& deps)
    : service_(service), deps_(deps) {}

void RawService::Serve(RpcMethod method, StartCall start) {
  using grpc::internal::CallbackBidiHandler;
  using grpc::internal::RpcServiceMethod;
  const size_t index = paths_.size();
  paths_.push_back(Concat("/", service_, "/", RpcMethodName(method)));
  AddMethod(new RpcServiceMethod(paths_.back().c_str(), grpc::internal::RpcMethod::BIDI_STREAMING,
                                 nullptr));
  MarkMethodCallback(
      static_cast<int>(index),
      new CallbackBidiHandler<grpc::ByteBuffer, grpc::ByteBuffer>(
          [this, method, start = std::move(start)](grpc::CallbackServerContext* context) {
            Reactor* reactor = nullptr;
            const absl::Status thrown = Guard([&] {
              const absl::Status may = CheckToken(IntroductionOf(*context, deps_), deps_);
              reactor = may.ok() ? start(context) : KeepOut(method, *context, may);
            });
            return thrown.ok() ? reactor : Refuse(BareStatus());
          }));
}

RawService::Reactor* RawService::KeepOut(RpcMethod method, const grpc::ServerContextBase& context,
                                         const absl::Status& why) const {
  CallDeps deps = deps_;
  deps.tracer = nullptr;  // strangers make no spans
  CallRecord(method, OriginOf(context, CallerFromPeer(context.peer())), deps).End(why);
  return Refuse(ToGrpcStatus(why));
}

}  // namespace pixpool
