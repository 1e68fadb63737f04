// A call for each picture, all under way at once: extract_async HOST:PORT PICTURE...
#include <iostream>
#include <latch>
#include <mutex>
#include <string>

#include "client/cpp/client.h"
#include "client/cpp/error.h"
#include "client/cpp/heads.h"
#include "client/cpp/image.h"

namespace client = pixpool::client;

namespace {

// One line about a picture that was answered for, or not.
std::string Describe(const absl::StatusOr<pixpool::v1::ExtractFeaturesResponse>& response) {
  if (!response.ok()) return client::Describe(response.status());
  const auto& result = response->results(0);
  if (result.has_status()) return client::Describe(client::FromRpcStatus(result.status()));
  return std::to_string(result.features().head_results(0).values_size()) + " values";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::cerr << "usage: extract_async HOST:PORT PICTURE...\n", 2;
  // Before the client, which waits for its calls when it goes: their callbacks use these.
  std::latch pending(argc - 2);
  std::mutex mutex;  // callbacks come on gRPC's threads
  const auto server = client::Client::Create({.target = argv[1]});
  if (!server.ok()) return std::cerr << client::Describe(server.status()) << "\n", 1;

  for (int i = 2; i < argc; ++i) {
    auto image = client::ImageFromFile(argv[i]);
    if (!image.ok()) return std::cerr << client::Describe(image.status()) << "\n", 1;
    pixpool::v1::ExtractFeaturesRequest request;
    *request.add_images() = *std::move(image);
    *request.add_heads() = client::Gem(3);
    (*server)->ExtractAsync(std::move(request), [&, name = argv[i]](auto response) {
      {
        const std::lock_guard lock(mutex);
        std::cout << name << ": " << Describe(response) << "\n";
      }
      pending.count_down();
    });
  }
  pending.wait();
}
