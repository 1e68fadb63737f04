// Embeddings of the four quarters of each picture: extract_regions HOST:PORT PICTURE...
#include <iostream>

#include "client/cpp/client.h"
#include "client/cpp/error.h"
#include "client/cpp/heads.h"
#include "client/cpp/image.h"
#include "client/cpp/regions.h"

int main(int argc, char** argv) {
  namespace client = pixpool::client;
  if (argc < 3) return std::cerr << "usage: extract_regions HOST:PORT PICTURE...\n", 2;
  const auto server = client::Client::Create({.target = argv[1]});
  if (!server.ok()) return std::cerr << client::Describe(server.status()) << "\n", 1;

  pixpool::v1::ExtractFeaturesRequest request;
  *request.add_heads() = client::Gem(3);
  request.mutable_input_options()->set_crop(pixpool::v1::CROP_MODE_NONE);
  for (int i = 2; i < argc; ++i) {
    auto image = client::ImageFromFile(argv[i]);
    if (!image.ok()) return std::cerr << client::Describe(image.status()) << "\n", 1;
    for (const float top : {0.0f, 0.5f}) {
      for (const float left : {0.0f, 0.5f}) {
        *image->add_regions() = client::RelativeRegion({left, top, left + 0.5f, top + 0.5f});
      }
    }
    *request.add_images() = *std::move(image);
  }

  const auto response = (*server)->Extract(request);
  if (!response.ok()) return std::cerr << client::Describe(response.status()) << "\n", 1;
  for (const auto& result : response->results()) {
    std::cout << result.image_id() << ": ";
    if (result.has_status()) {
      std::cout << client::Describe(client::FromRpcStatus(result.status())) << "\n";
      continue;
    }
    const auto vectors = client::RegionValues(result.features(), "gem");
    if (!vectors.ok()) return std::cerr << client::Describe(vectors.status()) << "\n", 1;
    std::cout << vectors->shape[0] << " regions of " << vectors->shape[1] << " values\n";
  }
}
