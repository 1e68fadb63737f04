#include "server/rpc/grpc_server.h"
#include "server/base/text.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_builder_plugin.h"
#include "server/rpc/unknown_calls.h"

namespace pixpool {
namespace {

// Merely loading grpc++_reflection adds reflection to every server of the process; this takes it
// out again.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->erase(std::remove_if(plugins->begin(), plugins->end(),
                                  [](const auto& plugin) {
                                    return plugin->name() == "proto_server_reflection";
                                  }),
                   plugins->end());
  }
};

// Settings for a server that strangers can reach; reasons in server/README.md.
void SetChannelArguments(grpc::ServerBuilder* builder, const RpcOptions& options) {
  constexpr int kSecond = 1000;
  constexpr int kMinute = 60 * kSecond;
  builder->SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
  // Images do not compress, and a compressed message is a bomb: identity only.
  for (const auto algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
    builder->SetCompressionAlgorithmSupportStatus(algorithm, false);
  }
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 100);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 8 << 10);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30 * kSecond);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10 * kSecond);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 30 * kSecond);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 15 * kMinute);
  // From then on calls may end, which all but streams do.
  const std::chrono::milliseconds longest = options.call.max_deadline;
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, options.max_connection_age * kSecond);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                              static_cast<int>(longest.count() + longest.count() / 12));
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10 * kSecond);
  // A second process on the same port must fail, not take half of the calls.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

class GrpcServerImpl final : public GrpcServer {
 public:
  absl::Status Start(const RpcOptions& options, const std::vector<grpc::Service*>& services) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort(options.listen.value(), grpc::InsecureServerCredentials(), &port_);
    SetChannelArguments(&builder, options);
    if (options.reflection) {
      grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    } else {
      builder.SetOption(std::make_unique<WithoutReflection>());
    }
    for (grpc::Service* service : services) builder.RegisterService(service);
    builder.RegisterCallbackGenericService(&unknown_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      return absl::UnavailableError(
          Concat("cannot listen on ", options.listen.value(), " (", options.listen.flag(),
                 "): the port is in use, or the address is not one of this "
                 "machine"));
    }
    server_->GetHealthCheckService()->SetServingStatus(false);
    return absl::OkStatus();
  }

  int port() const override { return port_; }

  void SetServing(const std::string& name, bool serving) override {
    server_->GetHealthCheckService()->SetServingStatus(name, serving);
  }

  void SetNotServing() override { server_->GetHealthCheckService()->Shutdown(); }

  void Shutdown(absl::Duration grace) override {
    server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
    server_->Wait();
  }

 private:
  int port_ = 0;
  UnknownCalls unknown_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> StartGrpcServer(
    const RpcOptions& options, const std::vector<grpc::Service*>& services) {
  auto server = std::make_unique<GrpcServerImpl>();
  if (absl::Status status = server->Start(options, services); !status.ok()) return status;
  return server;
}

}  // namespace pixpool
