#include "server/app/rest_door.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "server/pipeline/pipeline.h"

namespace pixpool {
namespace {

class NoServer final : public rest::Server {
 public:
  const std::string& address() const override { return address_; }
  void BeginDrain() override {}
  void Shutdown(absl::Duration) override {}

 private:
  const std::string address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<rest::Server>> StartRest(const Config& config, const CallDeps& call,
                                                        const ModelRegistry* registry,
                                                        const TlsStore* tls, int cores) {
  const std::string& listen = config.rest.listen.value();
  if (listen.empty()) return std::make_unique<NoServer>();
  const auto& max_bytes = config.rpc.max_message_bytes;
  return rest::StartServer(
      {.listen = listen,
       .tls = tls,
       .threads = std::clamp(cores / 2, 2, 8),
       .max_connection_age = std::chrono::seconds(config.rpc.max_connection_age),
       .connection_rate = config.rpc.connections.rate},
      {.call = call,
       .models = {.registry = registry,
                  .options = &call.pipeline->options(),
                  .max_message_bytes = max_bytes},
       .max_body_bytes = max_bytes});
}

}  // namespace pixpool
