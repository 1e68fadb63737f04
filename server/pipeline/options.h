// Settings of the pipeline; each is an option of the server.
#pragma once

#include <chrono>
#include <cstdint>

#include "server/base/clock.h"
#include "server/image/decode.h"
#include "server/pipeline/admission.h"

namespace pixpool {

struct PipelineOptions {
  AdmissionLimits admission;
  ImageLimits image;
  int max_images_per_request = 32;
  int max_heads_per_request = 32;
  int max_input_side = 2'048;
  int64_t max_response_bytes = 64 << 20;
  int64_t max_head_operations = 2'000'000'000;  // map values that the heads of a request read
  int decode_threads = 2;
  int reply_threads = 1;
  int max_batch_size = 8;
  TimeDuration max_batch_delay = std::chrono::milliseconds(5);
};

}  // namespace pixpool
