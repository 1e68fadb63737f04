// Flags that several subcommands share.
#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "client/cli/folder.h"
#include "client/cli/paths.h"
#include "client/cli/text.h"
#include "client/cpp/client.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::cli {

// Where the command reads and writes; not owned.
struct Console {
  std::ostream& out;
  std::ostream& err;
  Style style;  // of `out`
  bool err_is_terminal;
  client::Timer* timer;
};

// A subcommand: `run` does its work after parsing and returns the exit code.
struct Command {
  CLI::App* app;
  std::function<int()> run;
};

struct ConnectionFlags {
  std::string target;
  double timeout_s = 10;
  std::vector<std::string> headers;  // "name: value"
  client::Access access;

  void Add(CLI::App& app);
  absl::StatusOr<std::unique_ptr<client::Client>> Connect(const Console& console) const;
  absl::Duration timeout() const;
  // --header, PIXPOOL_HEADERS, and the trace that the environment names unless --header names
  // another. INVALID_ARGUMENT for what cannot be sent.
  absl::StatusOr<client::Headers> AllHeaders() const;

 private:
  void AddAccess(CLI::App& app);
};

struct InputFlags {
  std::vector<std::string> paths;
  std::string files_from;
  SearchRules search;  // for the pictures in folders
  std::string model, model_version;
  bool no_exif = false;
  std::string decode, damaged, background, resize, crop, input_size, scales;
  bool flip = false;
  int resize_size = 0;
  std::string priority;
  int concurrency = 4;
  bool stream = false;

  void Add(CLI::App& app);
  // The pictures, the model and what becomes of a picture: all but --concurrency and --stream.
  void AddPictures(CLI::App& app);
  // --scales and --flip: several looks at a picture, which only vectors can be summed from.
  void AddPasses(CLI::App& app);
  // The pictures of PATH and --files-from. INVALID_ARGUMENT or NOT_FOUND as in paths.h.
  absl::StatusOr<Pictures> FindPictures() const;
  // Model, heads and input options. INVALID_ARGUMENT for text that cannot be read.
  absl::StatusOr<v1::StreamConfig> Config(const std::vector<std::string>& heads) const;
};

// Writes "pixpool: ..." with what may help, and returns the exit code.
int ReportError(const Console& console, const absl::Status& status, const std::string& target);
int ReportUsageError(const Console& console, const absl::Status& status);

}  // namespace pixpool::cli
