// All options of the server, from flags, environment and a configuration file into one Config.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pixpool {

// Precedence: flag, then environment (PIXPOOL_ and the flag's name in upper case with underscores),
// then the file given by
// --config (`name = value` lines, TOML), then the default. Every option is one row of the table in
// config_table.cc.
struct Config {
  // Addresses.
  std::string listen = "127.0.0.1:50051";      // gRPC
  std::string http_listen = "127.0.0.1:8080";  // metrics and probes; "" turns them off
  bool reflection = true;

  // Models.
  std::string models_dir = "models";
  std::string default_model;       // "" takes the only one, else the first by name
  std::string device = "auto";     // auto, cpu, cuda, cuda:N
  std::string engine = "auto";     // auto, openvino, aotinductor, torchscript
  std::string precision = "auto";  // auto, float32, int8
  int instances = 0;               // 0: from engine, CPU quota and device
  int threads_per_instance = 0;    // 0: likewise
  int decode_threads = 0;          // 0: the CPU quota
  int reply_threads = 1;

  // Batching.
  int max_batch_size = 8;
  int max_batch_delay_ms = 5;

  // Admission.
  int max_in_flight_requests = 256;
  int64_t max_in_flight_bytes = 256 << 20;
  int64_t max_in_flight_pixels = 400'000'000;
  int max_stream_in_flight = 32;  // images of one stream at a time
  int retry_after_ms = 200;       // told to shed clients

  // Limits on a request.
  int max_images_per_request = 32;
  int max_heads_per_request = 32;
  int64_t max_head_operations = 2'000'000'000;
  int64_t max_image_bytes = 10 << 20;
  int64_t max_image_pixels = 50'000'000;
  int max_image_side = 16'384;
  int max_input_side = 2'048;
  int64_t max_response_bytes = 64 << 20;
  int64_t max_message_bytes = 64 << 20;
  int default_deadline_ms = 10'000;  // for calls without a deadline
  int max_deadline_ms = 60'000;      // longer deadlines are cut to it

  // Life cycle.
  int drain_delay_ms = 0;         // not ready, still accepting
  int drain_timeout_ms = 30'000;  // then in-flight calls are cancelled

  // Log.
  std::string log_level = "info";  // debug, info, warning, error, off
};

enum class ConfigAction { kServe, kPrintHeads, kExit };

// What parsing a command line came to.
struct ConfigResult {
  Config config;
  ConfigAction action = ConfigAction::kServe;
  int exit_code = 0;   // with kExit: 0 for --help and the like, 2 for problems
  std::string output;  // with kExit: what to print; to standard error if exit_code is not 0
};

// Parses flags (without the name of the program), environment and file. `environment` holds
// "NAME=value" strings. Every problem is found and listed, not just the first: unknown flags,
// unknown keys of the file, unknown PIXPOOL_ variables (but not those of the command, of ./run and
// of Kubernetes service links), values that do not parse or are out of range, duplicates in the
// file, contradictions between options. --help, --version, --print-config (effective values with
// their sources) and --check-config end with kExit, --print-heads
// with kPrintHeads.
ConfigResult ParseConfig(const std::vector<std::string>& args,
                         const std::vector<std::string>& environment);

}  // namespace pixpool
