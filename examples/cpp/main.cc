// Prints the size of two embeddings of each picture: extract HOST:PORT PICTURE...
#include <iostream>

#include "client/cpp/client.h"
#include "client/cpp/error.h"
#include "client/cpp/heads.h"
#include "client/cpp/image.h"

int main(int argc, char** argv) {
  namespace client = pixpool::client;
  if (argc < 3) return std::cerr << "usage: extract HOST:PORT PICTURE...\n", 2;
  const auto server = client::Client::Create({.target = argv[1]});
  if (!server.ok()) return std::cerr << client::Describe(server.status()) << "\n", 1;

  pixpool::v1::ExtractFeaturesRequest request;
  *request.add_heads() = client::GlobalAvg();
  *request.add_heads() = client::Gem(3);
  for (int i = 2; i < argc; ++i) {
    auto image = client::ImageFromFile(argv[i]);
    if (!image.ok()) return std::cerr << client::Describe(image.status()) << "\n", 1;
    *request.add_images() = *std::move(image);
  }

  const auto response = (*server)->Extract(request);
  if (!response.ok()) return std::cerr << client::Describe(response.status()) << "\n", 1;
  for (const auto& result : response->results()) {
    std::cout << result.image_id() << "\n";
    if (result.has_status()) {
      std::cout << "  " << client::Describe(client::FromRpcStatus(result.status())) << "\n";
    }
    for (const auto& head : result.features().head_results()) {
      std::cout << "  " << head.head_id() << ": " << head.values_size() << " values\n";
    }
  }
}
