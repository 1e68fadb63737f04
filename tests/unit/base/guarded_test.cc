#include "server/base/guarded.h"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>

#include "server/base/error.h"

namespace pixpool {
namespace {

ErrorReason ReasonOf(const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  EXPECT_TRUE(details.has_value()) << status;
  return details ? details->reason : ErrorReason::kCancelled;
}

TEST(Guarded, GivesTheStatusOfTheWork) {
  EXPECT_TRUE(Guarded("event", "it failed", [] { return absl::OkStatus(); }).ok());
  const absl::Status status =
      Guarded("event", "it failed", [] { return absl::NotFoundError("no such thing"); });
  EXPECT_EQ(status, absl::NotFoundError("no such thing"));
}

TEST(Guarded, WorkMayReturnNothing) {
  bool ran = false;
  EXPECT_TRUE(Guarded("event", "it failed", [&] { ran = true; }).ok());
  EXPECT_TRUE(ran);
  EXPECT_EQ(ReasonOf(Guarded("event", "it failed", [] { throw std::bad_alloc(); })),
            ErrorReason::kOverloaded);
}

TEST(Guarded, NoMemoryIsAnOverload) {
  const absl::Status status =
      Guarded("event", "it failed", []() -> absl::Status { throw std::bad_alloc(); });
  EXPECT_EQ(ReasonOf(status), ErrorReason::kOverloaded);
  EXPECT_EQ(GetErrorDetails(status)->retry_after, absl::Seconds(1));
}

TEST(Guarded, LibrariesTellOfNoMemoryInTheirOwnWords) {
  for (const char* words :
       {"Check 'ptr' failed at cpu_memory.cpp:257: Failed to allocate 100663296 bytes",
        "node 'GroupConvolution_174' can't alloc",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
        "CUDA out of memory. Tried to allocate 20.00 MiB"}) {
    EXPECT_EQ(ReasonOf(Guarded("event", "it failed", [&] { throw std::runtime_error(words); })),
              ErrorReason::kOverloaded)
        << words;
  }
}

TEST(Guarded, OtherExceptionsKeepTheirDetailToThemselves) {
  const absl::Status status = Guarded(
      "event", "it failed", []() -> absl::Status { throw std::runtime_error("/secret/path"); });
  EXPECT_EQ(ReasonOf(status), ErrorReason::kInferenceFailed);
  EXPECT_EQ(status.message(), "it failed");
  const absl::Status number = Guarded("event", "it failed", []() -> absl::Status { throw 7; });
  EXPECT_EQ(ReasonOf(number), ErrorReason::kInferenceFailed);
}

}  // namespace
}  // namespace pixpool
