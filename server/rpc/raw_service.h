// Services whose calls are given to us at their headers.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/impl/service_type.h"
#include "server/rpc/unary_reactor.h"

namespace pixpool {

// The options of a service, as a base before RawService, which refers to them.
template <typename Options>
class Holds {
 protected:
  explicit Holds(Options options) : options_(std::move(options)) {}
  const Options options_;
};

// A gRPC service made of reactors over bytes. The services that protoc generates hand a unary call
// over when its message has arrived and is parsed; to gRPC's server the two kinds of calls differ
// only in that, so here every method is registered as a stream of bytes. Clients see no difference.
class RawService : public grpc::Service {
 public:
  // What its calls share.
  const CallDeps& deps() const { return deps_; }

 protected:
  using Reactor = grpc::ServerGenericBidiReactor;
  using StartCall = std::function<Reactor*(grpc::CallbackServerContext*)>;

  // `service` as in the .proto file, such as "pixpool.v1.FeatureService".
  RawService(std::string_view service, const CallDeps& deps);

  // Serves a method. Every method of the .proto file must be served, else the test of the service
  // fails.
  void Serve(RpcMethod method, StartCall start);

  // Serves a method whose calls are unary reactors of type `Call`, with what follows the context in
  // its constructor.
  template <typename Call, typename... Arguments>
  void ServeUnary(RpcMethod method, Arguments... arguments) {
    Serve(method, [this, method, arguments...](grpc::CallbackServerContext* context) {
      const auto call = std::make_shared<Call>(method, deps_, context, arguments...);
      call->Start();
      return call.get();
    });
  }

  // Serves a method that is answered at once: `reply` gets the request and makes the response.
  template <typename Request, typename Response, typename Reply>
  void ServeQuestion(RpcMethod method, Reply reply) {
    using Call = QuestionReactor<Request, Response>;
    const auto kept = std::make_shared<const typename Call::Reply>(std::move(reply));
    Serve(method, [this, method, kept](grpc::CallbackServerContext* context) {
      const auto call = std::make_shared<Call>(method, deps_, context, kept.get());
      call->Start();
      return call.get();
    });
  }

 private:
  // Ends a call that may not come in, and counts and logs it.
  Reactor* KeepOut(RpcMethod method, const grpc::ServerContextBase& context,
                   const absl::Status& why) const;

  const std::string service_;
  const CallDeps deps_;
  std::deque<std::string> paths_;  // gRPC keeps pointers to them
};

}  // namespace pixpool
