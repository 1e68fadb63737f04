#include "client/bench/connections.h"

#include <algorithm>
#include <chrono>

#include "grpcpp/create_channel.h"

namespace pixpool::bench {

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Connections::Connections(const TransportOptions& options) {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(-1);
  args.SetMaxSendMessageSize(-1);
  args.SetUserAgentPrefix("pixpool-bench");
  const auto entry =
      options.entry != nullptr ? options.entry : *client::internal::Entry::Make({}, options.target);
  entry->SetArguments(&args);
  // Each channel gets a socket of its own; else all of one target share one.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // Of gRPC's own retries only the transparent ones: of calls that never left this side, because
  // the server ended the connection just then. Others want a policy, which would hide what was
  // shed.
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 1);
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // As the client library's; a stream may wait for long.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  const size_t count = static_cast<size_t>(std::max(1, options.connections));
  const size_t threads = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, count);
  for (size_t i = 0; i < threads; ++i) queues_.push_back(std::make_unique<grpc::CompletionQueue>());
  for (size_t i = 0; i < count; ++i) {
    connections_.push_back({std::make_unique<grpc::GenericStub>(grpc::CreateCustomChannel(
                                options.target, entry->credentials(), args)),
                            queues_[i % threads].get()});
  }
  for (const auto& queue : queues_) {
    threads_.emplace_back([queue = queue.get()] {
      void* tag;
      bool ok;
      while (queue->Next(&tag, &ok)) static_cast<Event*>(tag)->Proceed(ok);
    });
  }
}

Connections::~Connections() {
  for (const auto& queue : queues_) queue->Shutdown();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace pixpool::bench
