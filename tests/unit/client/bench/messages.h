// Messages on the wire, for the tests of the load tester.
#pragma once

#include <string>
#include <vector>

#include "client/bench/workload.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"

namespace pixpool::bench {

inline std::string Text(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string text;
  for (const grpc::Slice& s : slices) {
    text.append(reinterpret_cast<const char*>(s.begin()), s.size());
  }
  return text;
}

// In pieces of `piece` bytes, as a network delivers them.
inline grpc::ByteBuffer Buffer(const std::string& text, size_t piece = 1 << 20) {
  std::vector<grpc::Slice> slices;
  for (size_t i = 0; i < text.size(); i += piece) slices.push_back(ToSlice(text.substr(i, piece)));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

inline Workload MakeWorkload(WorkloadOptions options = {},
                             std::vector<std::string> pictures = {"good"}) {
  auto workload = Workload::Make(options, std::move(pictures));
  EXPECT_TRUE(workload.ok()) << workload.status();
  return *std::move(workload);
}

}  // namespace pixpool::bench
