#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/base/option.h"
#include "server/net/options.h"
#include "server/tls/options.h"

namespace pixpool {

// The metadata entry that sets a call's priority.
inline constexpr char kPriorityMetadata[] = "pixpool-priority";
// The metadata entry that names the span that a call belongs to.
inline constexpr char kTraceMetadata[] = "traceparent";
inline constexpr char kTraceStateMetadata[] = "tracestate";

inline constexpr int64_t kDayMs = 24 * 60 * 60 * 1000;

// What every call keeps to.
struct CallOptions {
  static constexpr OptionSpec kDefaultDeadline = {
      .group = kLimitsGroup,
      .place = 10,
      .flag = "--default-deadline-ms",
      .value_name = "MS",
      .help = "Deadline of calls that state none.",
      .kind = OptionKind::kNumber,
      .initial = 10'000,
      .min = 1,
      .max = kDayMs,
  };
  Option<std::chrono::milliseconds, kDefaultDeadline> default_deadline;

  static constexpr OptionSpec kMaxDeadline = {
      .group = kLimitsGroup,
      .place = 11,
      .flag = "--max-deadline-ms",
      .value_name = "MS",
      .help = "Longer deadlines are cut to this.",
      .kind = OptionKind::kNumber,
      .initial = 60'000,
      .min = 1,
      .max = kDayMs,
  };
  Option<std::chrono::milliseconds, kMaxDeadline> max_deadline;

  static constexpr OptionSpec kMaxStreamInFlight = {
      .group = kAdmissionGroup,
      .place = 4,
      .flag = "--max-stream-in-flight",
      .value_name = "COUNT",
      .help = "Images of one stream at a time.",
      .kind = OptionKind::kNumber,
      .initial = 32,
      .min = 1,
      .max = 10'000,
  };
  Option<int, kMaxStreamInFlight> max_stream_in_flight;
};

// The gRPC port and the calls that come in by it.
struct RpcOptions {
  CallOptions call;

  static constexpr OptionSpec kListen = {
      .group = kAddressesGroup,
      .place = 1,
      .flag = "--listen",
      .value_name = "ADDRESS",
      .help =
          "Where the gRPC server listens: host:port, unix:/path of a socket of this machine, or "
          "several of them, given again or with commas. Port 0 takes one that is free.",
      .kind = OptionKind::kListen,
      .initial = "127.0.0.1:50051",
  };
  Option<std::string, kListen> listen;

  static constexpr std::string_view kSocketModes[] = {"0600", "0660", "0666"};
  static constexpr OptionSpec kSocketMode = {
      .group = kAddressesGroup,
      .place = 5,
      .flag = "--socket-mode",
      .value_name = "MODE",
      .help =
          "Who may connect to the file of a Unix socket: the server's own user, its group too, "
          "or all of this machine.",
      .kind = OptionKind::kChoice,
      .initial = "0660",
      .choices = kSocketModes,
  };
  Option<std::string, kSocketMode> socket_mode;

  static constexpr OptionSpec kReflection = {
      .group = kAddressesGroup,
      .place = 3,
      .flag = "--reflection",
      .help = "Serve gRPC reflection.",
      .kind = OptionKind::kSwitch,
      .initial = true,
  };
  Option<bool, kReflection> reflection;

  static constexpr OptionSpec kMaxMessageBytes = {
      .group = kLimitsGroup,
      .place = 9,
      .flag = "--max-message-bytes",
      .value_name = "BYTES",
      .help = "Largest gRPC message that is received.",
      .kind = OptionKind::kBytes,
      .initial = 64 << 20,
      .min = 1024,
      .max = kMostMessageBytes,
  };
  Option<int64_t, kMaxMessageBytes> max_message_bytes;

  static constexpr OptionSpec kMaxConnectionAge = {
      .group = kAddressesGroup,
      .place = 4,
      .flag = "--max-connection-age-s",
      .value_name = "SECONDS",
      .help = "Age at which clients are asked to connect anew, so that load spreads over servers.",
      .kind = OptionKind::kNumber,
      .initial = 30 * 60,
      .min = 1,
      .max = 24 * 60 * 60,
  };
  Option<int, kMaxConnectionAge> max_connection_age;

  static constexpr OptionSpec kCallerHeader = {
      .group = kAdmissionGroup,
      .place = 40,
      .flag = "--caller-header",
      .value_name = "NAME",
      .help =
          "Metadata entry, in lower case, whose value says whose a call is; without one its "
          "address does. Callers share the server fairly. Clients must not be able to set it.",
      .kind = OptionKind::kMetadata,
      .initial = "",
      .may_be_empty = true,
  };
  Option<std::string, kCallerHeader> caller_header;

  static constexpr OptionSpec kTokens = {
      .group = kAccessGroup,
      .place = 4,
      .flag = "--tokens",
      .value_name = "FILE",
      .help =
          "File of lines of a name, the SHA-256 of a token, and the caller's limits if it has any. "
          "Calls then need one of the tokens "
          "(authorization: Bearer ...), whose name is the caller; health needs none, and "
          "reflection is off. Read again when it changes.",
      .kind = OptionKind::kText,
      .initial = "",
      .may_be_empty = true,
  };
  Option<std::string, kTokens> tokens;

  ConnectionOptions connections;
  TlsOptions tls;
};

}  // namespace pixpool
