// Settings of the pipeline; each is an option of the server.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "server/base/memory_room.h"
#include "server/base/option.h"
#include "server/image/options.h"
#include "server/input/options.h"

namespace pixpool {

// Beyond any machine, and far from overflow.
inline constexpr int64_t kTera = int64_t{1} << 40;

// What a decoded pixel takes.
inline constexpr int64_t kBytesPerPixel = 3;

struct AdmissionLimits {
  static constexpr OptionSpec kMaxRequests = {
      .group = kAdmissionGroup,
      .place = 1,
      .flag = "--max-in-flight-requests",
      .value_name = "COUNT",
      .help = "Most requests in flight; more are refused.",
      .kind = OptionKind::kNumber,
      .initial = 256,
      .min = 1,
      .max = 1'000'000,
  };
  Option<int, kMaxRequests> max_requests;

  static constexpr OptionSpec kMaxBytes = {
      .group = kAdmissionGroup,
      .place = 2,
      .flag = "--max-in-flight-bytes",
      .value_name = "BYTES",
      .help = "Most bytes of images and answers in flight.",
      .kind = OptionKind::kBytes,
      .initial = 256 << 20,
      .min = 1,
      .max = kTera,
  };
  Option<int64_t, kMaxBytes> max_bytes;

  static constexpr OptionSpec kMaxPixels = {
      .group = kAdmissionGroup,
      .place = 3,
      .flag = "--max-in-flight-pixels",
      .value_name = "PIXELS",
      .help =
          "Most decoded pixels that are held for what is in flight: of images that are decoded row "
          "by row a window, of others all.",
      .kind = OptionKind::kNumber,
      .initial = 400'000'000,
      .min = 1,
      .max = kTera,
  };
  Option<int64_t, kMaxPixels> max_pixels;

  static constexpr OptionSpec kRetryAfter = {
      .group = kAdmissionGroup,
      .place = 5,
      .flag = "--retry-after-ms",
      .value_name = "MS",
      .help =
          "When refused clients are told to try again; up to twelve times that where many come "
          "back.",
      .kind = OptionKind::kNumber,
      .initial = 200,
      .min = 0,
      .max = 60'000,
  };
  Option<std::chrono::milliseconds, kRetryAfter> retry_after;
};

struct RegistryOptions {
  static constexpr OptionSpec kDefaultModel = {
      .group = kModelsGroup,
      .place = 2,
      .flag = "--default-model",
      .value_name = "NAME",
      .help = "Model of requests that name none; \"\" takes the only one, if there is one alone.",
      .kind = OptionKind::kText,
      .initial = "",
      .may_be_empty = true,
  };
  Option<std::string, kDefaultModel> default_model;
};

struct ResponseCacheOptions {
  static constexpr OptionSpec kMaxBytes = {
      .group = kCacheGroup,
      .place = 1,
      .flag = "--response-cache-bytes",
      .value_name = "BYTES",
      .help =
          "Memory for answers that are kept for the same images and settings to come; 0: none are "
          "kept.",
      .kind = OptionKind::kBytes,
      .initial = 0,
      .min = 0,
      .max = kTera,
  };
  Option<int64_t, kMaxBytes> max_bytes;

  static constexpr OptionSpec kShared = {
      .group = kCacheGroup,
      .place = 2,
      .flag = "--response-cache-shared",
      .value_name = "",
      .help =
          "Whether a caller may be answered with what another asked for; its time then tells that "
          "the other has sent the picture.",
      .kind = OptionKind::kSwitch,
      .initial = false,
  };
  Option<bool, kShared> shared;
};

struct PipelineOptions {
  AdmissionLimits admission;
  ImageLimits image;
  InputLimits input;
  MemoryLimit memory;
  DamageOptions damage;
  ResponseCacheOptions response_cache;

  static constexpr OptionSpec kMaxImagesPerRequest = {
      .group = kLimitsGroup,
      .place = 1,
      .flag = "--max-images-per-request",
      .value_name = "COUNT",
      .help = "Most images of a request.",
      .kind = OptionKind::kNumber,
      .initial = 32,
      .min = 1,
      .max = 10'000,
  };
  Option<int, kMaxImagesPerRequest> max_images_per_request;

  static constexpr OptionSpec kMaxHeadsPerRequest = {
      .group = kLimitsGroup,
      .place = 2,
      .flag = "--max-heads-per-request",
      .value_name = "COUNT",
      .help = "Most heads of a request.",
      .kind = OptionKind::kNumber,
      .initial = 32,
      .min = 1,
      .max = 1'000,
  };
  Option<int, kMaxHeadsPerRequest> max_heads_per_request;

  static constexpr OptionSpec kMaxRegionsPerImage = {
      .group = kLimitsGroup,
      .place = 13,
      .flag = "--max-regions-per-image",
      .value_name = "COUNT",
      .help = "Most regions of an image.",
      .kind = OptionKind::kNumber,
      .initial = 64,
      .min = 0,
      .max = 4'000,
  };
  Option<int, kMaxRegionsPerImage> max_regions_per_image;

  static constexpr OptionSpec kMaxHeadOperations = {
      .group = kLimitsGroup,
      .place = 3,
      .flag = "--max-head-operations",
      .value_name = "VALUES",
      .help = "Most map values that the windows of a request's heads read.",
      .kind = OptionKind::kNumber,
      .initial = 2'000'000'000,
      .min = 1,
      .max = kTera,
  };
  Option<int64_t, kMaxHeadOperations> max_head_operations;

  static constexpr OptionSpec kMaxResponseBytes = {
      .group = kLimitsGroup,
      .place = 8,
      .flag = "--max-response-bytes",
      .value_name = "BYTES",
      .help = "Largest reply; checked before the work is done.",
      .kind = OptionKind::kBytes,
      .initial = 64 << 20,
      .min = 1024,
      .max = kMostMessageBytes,
  };
  Option<int64_t, kMaxResponseBytes> max_response_bytes;

  // Pipeline takes the cores of the process for 0.
  static constexpr OptionSpec kDecodeThreads = {
      .group = kModelsGroup,
      .place = 8,
      .flag = "--decode-threads",
      .value_name = "COUNT",
      .help = "Threads that decode images; 0 takes the CPU quota.",
      .kind = OptionKind::kNumber,
      .initial = 0,
      .min = 0,
      .max = 1024,
  };
  Option<int, kDecodeThreads> decode_threads;

  static constexpr OptionSpec kReplyThreads = {
      .group = kModelsGroup,
      .place = 9,
      .flag = "--reply-threads",
      .value_name = "COUNT",
      .help = "Threads that finish replies.",
      .kind = OptionKind::kNumber,
      .initial = 1,
      .min = 1,
      .max = 64,
  };
  Option<int, kReplyThreads> reply_threads;

  static constexpr OptionSpec kMaxBatchSize = {
      .group = kBatchingGroup,
      .place = 1,
      .flag = "--max-batch-size",
      .value_name = "COUNT",
      .help = "Most images of a backbone pass.",
      .kind = OptionKind::kNumber,
      .initial = 8,
      .min = 1,
      .max = 1024,
  };
  Option<int, kMaxBatchSize> max_batch_size;

  static constexpr OptionSpec kMaxBatchDelay = {
      .group = kBatchingGroup,
      .place = 2,
      .flag = "--max-batch-delay-ms",
      .value_name = "MS",
      .help =
          "Longest time that an image is passed over in favour of a fuller batch of another "
          "size.",
      .kind = OptionKind::kNumber,
      .initial = 5,
      .min = 0,
      .max = 10'000,
  };
  Option<std::chrono::milliseconds, kMaxBatchDelay> max_batch_delay;

  static constexpr OptionSpec kHangTimeout = {
      .group = kBatchingGroup,
      .place = 3,
      .flag = "--hang-timeout-ms",
      .value_name = "MS",
      .help =
          "Longest time that a backbone pass of the recipe's size may take before the server "
          "says that it is not ready; larger inputs have more. 0: for ever.",
      .kind = OptionKind::kNumber,
      .initial = 5000,
      .min = 0,
      .max = 600'000,
  };
  Option<std::chrono::milliseconds, kHangTimeout> hang_timeout;
};

}  // namespace pixpool
