#include "server/rpc/grpc_server.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_builder_plugin.h"
#include "grpcpp/resource_quota.h"
#include "server/base/clock.h"
#include "server/base/listen_address.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/base/ticker.h"
#include "server/net/acceptor.h"
#include "server/net/connection_limits.h"
#include "server/net/descriptor.h"
#include "server/net/listen.h"
#include "server/net/port_watch.h"
#include "server/rpc/tls_credentials.h"
#include "server/rpc/unknown_calls.h"
#include "server/tls/probe_identity.h"

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

// What docs/operations.md promises to clients' keepalive, and by how much less two pings may be
// apart when they arrive.
constexpr int kLeastPingInterval = 10'000;
constexpr int kPingJitter = 2'000;

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
  // Ours too: without calls a dead peer's descriptor is freed, and not only the first two times.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                              kLeastPingInterval - kPingJitter);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 15 * kMinute);
  // From then on calls may end, which all but streams do.
  const std::chrono::milliseconds longest = options.call.max_deadline;
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, options.max_connection_age * kSecond);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                              static_cast<int>(longest.count() + longest.count() / 12));
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10 * kSecond);
}

// Reflection is gRPC's own, and the only service that takes a thread for each stream: from here on
// its streams are refused. A few more wait for calls.
constexpr int kReflectionThreads = 16;

// What a message may take beside its own bytes before gRPC is short of memory.
constexpr int64_t kReceiveRoom = 8 << 20;

// What a connection takes in gRPC's own reckoning, and what two buffers of TLS add to it.
constexpr int64_t kConnectionBytes = 20'000;
constexpr int64_t kTlsConnectionBytes = 20'000;

// How often the files of TLS are looked at.
constexpr std::chrono::milliseconds kTlsFilesPause(1'000);

// How many connections there may be, by the options and by the descriptors that the process may
// have.
absl::StatusOr<ConnectionLimits::Numbers> Limits(const ConnectionOptions& options) {
  const int descriptors = RaiseDescriptorLimit();
  const int possible = ConnectionsWithin(descriptors);
  if (possible == 0) {
    return absl::UnavailableError(Concat("too few file descriptors: ", descriptors,
                                         " are allowed (ulimit -n), ", kFewestDescriptors,
                                         " are the least"));
  }
  const int total = std::min(options.max.value(), possible);
  if (total < options.max) {
    Log(LogLevel::kWarning, "connections_limited",
        {{"connections", total}, {"descriptors", descriptors}});
  }
  const int per_address = options.max_per_address;
  return ConnectionLimits::Numbers{
      .total = total,
      .per_address = per_address > 0 ? per_address : total - total / 8,
      .rate = options.rate,
  };
}

// A way for accepted connections into gRPC, by credentials of its own.
class Entrance {
 public:
  Entrance(grpc::ServerBuilder& builder, std::shared_ptr<grpc::ServerCredentials> credentials)
      : acceptor_(builder.experimental().AddExternalConnectionAcceptor(
            grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
            std::move(credentials))) {}

  void HandOver(int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    acceptor_->HandleNewConnection(&connection);
  }

 private:
  const std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
};

class GrpcServerImpl final : public GrpcServer {
 public:
  absl::Status Start(const RpcOptions& options, const std::vector<grpc::Service*>& services,
                     Metrics* metrics) {
    PIXPOOL_ASSIGN_OR_RETURN(limits_, Limits(options.connections));
    PIXPOOL_RETURN_IF_ERROR(OpenTls(options.tls, metrics));
    PIXPOOL_ASSIGN_OR_RETURN(std::vector<Acceptor::Door> doors, OpenDoors(options));
    WarnOfPlainText(options, doors);
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    plain_.emplace(builder, grpc::InsecureServerCredentials());
    if (tls_ != nullptr) {
      encrypted_.emplace(builder, TlsCredentials(tls_.get(), probe_->certificate()));
    }
    SetChannelArguments(&builder, options);
    least_received_ = options.max_message_bytes + kReceiveRoom;
    quota_.SetMaxThreads(kReflectionThreads);
    builder.SetResourceQuota(quota_);
    // Reflection is gRPC's own service, which asks nobody for a token.
    if (options.reflection && options.tokens.value().empty()) {
      grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    } else {
      builder.SetOption(std::make_unique<WithoutReflection>());
    }
    for (grpc::Service* service : services) builder.RegisterService(service);
    builder.RegisterCallbackGenericService(&unknown_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::UnavailableError("gRPC does not start");
    server_->GetHealthCheckService()->SetServingStatus(false);
    PortWatch::Options watch = {.targets = ProbeTargets(doors),
                                .announce = [this](int port) { acceptor_->ExpectProbe(port); }};
    acceptor_ = StartAcceptor(
        std::move(doors),
        {.limits = limits_,
         .refused = [metrics](ConnectionRefusal why) { metrics->ConnectionRefused(why); }},
        Clock::Real());
    watch_ = std::make_unique<PortWatch>(std::move(watch));
    return absl::OkStatus();
  }

  const std::vector<std::string>& addresses() const override { return addresses_; }
  const TlsStore* tls() const override { return tls_.get(); }
  int connections() const override { return acceptor_->open(); }
  int connection_capacity() const override { return limits_.total; }
  absl::Status Answers() const override { return watch_->Check(); }

  void BoundReceived(int64_t bytes) override {
    received_ = std::max(bytes, least_received_);
    ResizeQuota();
  }

  void SetServing(const std::string& name, bool serving) override {
    server_->GetHealthCheckService()->SetServingStatus(name, serving);
  }

  void SetNotServing() override { server_->GetHealthCheckService()->Shutdown(); }

  void Shutdown(absl::Duration grace) override {
    // First: gRPC leaves sockets open that come in after its end.
    acceptor_->Stop();
    server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
    server_->Wait();
  }

 private:
  absl::Status OpenTls(const TlsOptions& options, Metrics* metrics) {
    if (!options.enabled()) return absl::OkStatus();
    PIXPOOL_ASSIGN_OR_RETURN(tls_, TlsStore::Open(options, metrics));
    PIXPOOL_ASSIGN_OR_RETURN(probe_, ProbeIdentity::Make());
    tls_ticker_ = std::make_unique<Ticker>("tls-files", kTlsFilesPause, [this] { tls_->Look(); });
    return absl::OkStatus();
  }

  // Listens at each place. Unix sockets speak plain text always: nobody else can listen there, and
  // the permissions of the file say who may come.
  absl::StatusOr<std::vector<Acceptor::Door>> OpenDoors(const RpcOptions& options) {
    const auto mode = static_cast<mode_t>(std::stoi(options.socket_mode.value(), nullptr, 8));
    std::vector<Acceptor::Door> doors;
    for (const ListenAddress& address : ListenAddresses(options.listen.value())) {
      absl::StatusOr<Listening> listening = ListenOn(address, mode);
      if (!listening.ok()) {
        return absl::UnavailableError(Concat("cannot listen on ", address.text, " (",
                                             options.listen.flag(),
                                             "): ", listening.status().message()));
      }
      addresses_.push_back(listening->text);
      const bool encrypted = tls_ != nullptr && !address.is_unix();
      doors.push_back({.listening = *std::move(listening),
                       .protocol = encrypted ? Protocol::kTls : Protocol::kHttp2,
                       .hand_over = [this, encrypted](int fd) {
                         (encrypted ? encrypted_ : plain_)->HandOver(fd);
                         ResizeQuota();
                       }});
    }
    return doors;
  }

  static void WarnOfPlainText(const RpcOptions& options, const std::vector<Acceptor::Door>& doors) {
    for (const Acceptor::Door& door : doors) {
      if (door.protocol == Protocol::kTls || OnLoopback(door.listening)) continue;
      Log(LogLevel::kWarning, "plain_text",
          {{"address", door.listening.text},
           {"message",
            Concat("pictures", options.tokens.value().empty() ? "" : " and tokens",
                   " cross the network as they are; set ", options.tls.certificate.flag(), " and ",
                   options.tls.key.flag(), ", or have an edge in front end TLS")}});
    }
  }

  std::vector<PortWatch::Target> ProbeTargets(const std::vector<Acceptor::Door>& doors) const {
    std::vector<PortWatch::Target> targets;
    for (const Acceptor::Door& door : doors) {
      PortWatch::Target& target = targets.emplace_back();
      target.address = ProbeAddress(door.listening);
      target.name = door.listening.text;
      if (door.protocol == Protocol::kTls) target.wire = [this] { return probe_->NewWire(); };
    }
    return targets;
  }

  // Connections are bounded by their number, so they must not eat into the messages' part.
  void ResizeQuota() {
    const int64_t received = received_;
    if (received == 0) return;
    const int64_t each = kConnectionBytes + (tls_ == nullptr ? 0 : kTlsConnectionBytes);
    quota_.Resize(static_cast<size_t>(received + each * connections()));
  }

  std::vector<std::string> addresses_;
  grpc::ResourceQuota quota_{"pixpool"};
  int64_t least_received_ = 0;
  std::atomic<int64_t> received_{0};  // 0: not bounded yet
  UnknownCalls unknown_;
  ConnectionLimits::Numbers limits_;
  std::unique_ptr<TlsStore> tls_;  // null: plain text
  std::unique_ptr<ProbeIdentity> probe_;
  std::optional<Entrance> plain_;
  std::optional<Entrance> encrypted_;  // nullopt: without TLS
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<PortWatch> watch_;
  std::unique_ptr<Ticker> tls_ticker_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> StartGrpcServer(
    const RpcOptions& options, const std::vector<grpc::Service*>& services, Metrics* metrics) {
  auto server = std::make_unique<GrpcServerImpl>();
  PIXPOOL_RETURN_IF_ERROR(server->Start(options, services, metrics));
  return server;
}

}  // namespace pixpool
