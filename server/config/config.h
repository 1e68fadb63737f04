// All options of the server, from flags, environment and a configuration file into one Config.
#pragma once

#include <string>
#include <vector>

#include "server/base/log_options.h"
#include "server/config/process_options.h"
#include "server/isolation/options.h"
#include "server/metrics/options.h"
#include "server/model/options.h"
#include "server/pipeline/options.h"
#include "server/repository/options.h"
#include "server/rest/options.h"
#include "server/rpc/options.h"

namespace pixpool {

// All options: the sum of what the layers declare, each beside the code that reads it. An option
// that is added to one of these structs is a flag, a variable, a name in the file and a line of
// --help (server/base/option.h).
//
// Precedence: flag, then environment (PIXPOOL_ and the flag's name in upper case with underscores),
// then the file given by --config (`name = value` lines, TOML), then the default.
struct Config {
  ProcessOptions process;
  HttpOptions http;
  RpcOptions rpc;
  RestOptions rest;
  RegistryOptions registry;
  RepositoryOptions repository;
  ModelOptions model;
  IsolationOptions isolation;
  PipelineOptions pipeline;
  LogOptions log;
};

enum class ConfigAction { kServe, kPrintHeads, kExit };

// What parsing a command line came to.
struct ConfigResult {
  Config config;
  ConfigAction action = ConfigAction::kServe;
  int exit_code = 0;   // with kExit: 0 for --help and the like, 2 for problems
  std::string output;  // with kExit: what to print; to standard error if exit_code is not 0
  // What is allowed and may be meant otherwise.
  std::vector<std::string> warnings = {};
};

// Parses flags (without the name of the program), environment and file. `environment` holds
// "NAME=value" strings. Every problem is found and listed, not just the first: unknown flags,
// unknown keys of the file, unknown PIXPOOL_ variables (but not those of the command, of ./run and
// of Kubernetes service links), values that do not parse or are out of range, duplicates in the
// file, contradictions between options. A variable of clients that looks as if it made this server
// ask for TLS or tokens, which it does not, is a warning. --help, --version, --print-config
// (effective values with their sources) and --check-config end with kExit, --print-heads with
// kPrintHeads.
ConfigResult ParseConfig(const std::vector<std::string>& args,
                         const std::vector<std::string>& environment);

}  // namespace pixpool
