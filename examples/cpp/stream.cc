// Any number of pictures over one stream, as a job that gives way to people: extract_stream
// HOST:PORT PICTURE...
#include <iostream>
#include <optional>

#include "client/cpp/client.h"
#include "client/cpp/error.h"
#include "client/cpp/heads.h"
#include "client/cpp/image.h"
#include "client/cpp/stream.h"

namespace client = pixpool::client;

int main(int argc, char** argv) {
  if (argc < 3) return std::cerr << "usage: extract_stream HOST:PORT PICTURE...\n", 2;
  client::ClientOptions options{.target = argv[1]};
  options.priority = pixpool::v1::PRIORITY_BULK;  // of requests and streams that name none
  options.retry = {.max_attempts = 20};           // by reason, after the time that the server names
  options.deadline = absl::Seconds(5);  // of a call, its retries included; a stream has its own
  const auto server = client::Client::Create(options);
  if (!server.ok()) return std::cerr << client::Describe(server.status()) << "\n", 1;

  client::StreamOptions settings{.max_in_flight = 32};
  settings.timeout = absl::Minutes(10);
  *settings.config.add_heads() = client::Gem(3);
  client::Stream stream(**server, settings);

  int next = 2;
  const absl::Status status = stream.Run(
      [&]() -> std::optional<pixpool::v1::Image> {
        while (next < argc) {
          auto image = client::ImageFromFile(argv[next++]);
          if (image.ok()) return *std::move(image);
          std::cerr << client::Describe(image.status()) << "\n";
        }
        return std::nullopt;
      },
      [](pixpool::v1::StreamFeaturesResponse response) {  // as images finish, in any order
        const auto& result = response.result();
        std::cout << result.image_id() << ": ";
        if (result.has_status()) {
          std::cout << client::Describe(client::FromRpcStatus(result.status())) << "\n";
        } else {
          std::cout << result.features().head_results(0).values_size() << " values\n";
        }
        return true;  // false ends the stream
      });
  if (!status.ok()) return std::cerr << client::Describe(status) << "\n", 1;
}
