#include "client/cli/flags.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <ostream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/exit_code.h"
#include "client/cpp/entry.h"
#include "client/cpp/error.h"
#include "client/cpp/heads.h"
#include "client/cpp/proxy.h"

namespace pixpool::cli {
namespace {

// "224" or "HxW".
bool ParseSize(const std::string& text, int& height, int& width) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::ByAnyChar("xX"));
  if (parts.size() > 2) return false;
  return absl::SimpleAtoi(parts.front(), &height) && absl::SimpleAtoi(parts.back(), &width) &&
         height > 0 && width > 0;
}

// "255,255,255".
bool ParseColor(const std::string& text, v1::RgbColor& color) {
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  std::array<int, 3> levels;
  if (parts.size() != levels.size()) return false;
  for (size_t i = 0; i < levels.size(); ++i) {
    if (!absl::SimpleAtoi(parts[i], &levels[i]) || levels[i] < 0 || levels[i] > 255) return false;
  }
  color.set_red(levels[0]);
  color.set_green(levels[1]);
  color.set_blue(levels[2]);
  return true;
}

// "1,0.7071,0.5".
bool ParseScales(const std::string& text, v1::InputOptions& input) {
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    float scale;
    if (!absl::SimpleAtof(part, &scale) || !std::isfinite(scale)) return false;
    input.add_scales(scale);
  }
  return true;
}

// "name: value" each. What is none is told by its place: it may be a secret.
absl::StatusOr<client::Headers> ParseHeaders(const char* source,
                                             const std::vector<std::string>& texts) {
  client::Headers headers;
  for (const std::string& text : texts) {
    const size_t colon = text.find(':');
    if (colon == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(source, ": header ", headers.size() + 1,
                                                     " has no colon; write 'NAME: VALUE'"));
    }
    std::string name = absl::AsciiStrToLower(text.substr(0, colon));
    std::string value = text.substr(colon + 1);
    for (std::string* const part : {&name, &value}) absl::StripAsciiWhitespace(part);
    headers.emplace_back(std::move(name), std::move(value));
  }
  return headers;
}

}  // namespace

void ConnectionFlags::Add(CLI::App& app) {
  target = "127.0.0.1:50051";
  app.add_option("--target", target, "Server")
      ->type_name("HOST:PORT")
      ->envname("PIXPOOL_TARGET")
      ->capture_default_str()
      ->group("Connection");
  app.add_option("--timeout", timeout_s,
                 "Seconds that one request may take, retries included; 0: no limit")
      ->check(CLI::Range(0.0, 1e6).description(""))
      ->type_name("SECONDS")
      ->capture_default_str()
      ->group("Connection");
  app.add_option("--header", headers,
                 "Header of every call, such as 'pixpool-priority: bulk'; repeatable. Those of "
                 "PIXPOOL_HEADERS, one a line, count too")
      ->type_name("'NAME: VALUE'")
      ->allow_extra_args(false)  // what follows its value is a path
      ->group("Connection");
  AddAccess(app);
}

void ConnectionFlags::AddAccess(CLI::App& app) {
  const auto flag = [&app](const char* name, bool& value, const char* help, const char* variable) {
    app.add_flag(name, value, help)->envname(variable)->group("Connection");
  };
  const auto text = [&app](const char* name, std::string& value, const char* type, const char* help,
                           const char* variable) {
    app.add_option(name, value, help)->type_name(type)->envname(variable)->group("Connection");
  };
  flag("--tls", access.tls, "Encrypt; so do the four below", "PIXPOOL_TLS");
  text("--ca", access.ca, "FILE",
       "Certificates (PEM) of those who sign the server's; default: this system's", "PIXPOOL_CA");
  text("--client-cert", access.client_cert, "FILE",
       "Certificate chain (PEM) of this client, where the server wants one", "PIXPOOL_CLIENT_CERT");
  text("--client-key", access.client_key, "FILE", "Its private key (PEM)", "PIXPOOL_CLIENT_KEY");
  text("--server-name", access.server_name, "NAME",
       "Name in the server's certificate, where --target has another", "PIXPOOL_SERVER_NAME");
  text("--token-file", access.token_file, "FILE",
       "File of the token that every call brings (authorization: Bearer ...)",
       "PIXPOOL_TOKEN_FILE");
  flag("--allow-plain-token", access.allow_plain_token,
       "Let a token go to another machine without TLS, where the way there is safe",
       "PIXPOOL_ALLOW_PLAIN_TOKEN");
}

absl::StatusOr<client::Headers> ConnectionFlags::AllHeaders() const {
  client::Headers all = client::TraceHeadersFromEnvironment();
  const char* const variable = std::getenv("PIXPOOL_HEADERS");
  const std::vector<std::string> lines =
      absl::StrSplit(variable == nullptr ? "" : variable, '\n', absl::SkipWhitespace());
  for (const auto& [source, texts] :
       {std::pair("PIXPOOL_HEADERS", &lines), std::pair("--header", &headers)}) {
    absl::StatusOr<client::Headers> given = ParseHeaders(source, *texts);
    if (!given.ok()) return given.status();
    std::erase_if(all, [&given](const auto& header) {
      return std::any_of(given->begin(), given->end(),
                         [&header](const auto& later) { return later.first == header.first; });
    });
    all.insert(all.end(), given->begin(), given->end());
  }
  if (absl::Status status = client::CheckHeaders(all); !status.ok()) return status;
  if (absl::Status status = client::internal::CheckSecrets(all, access, target); !status.ok()) {
    return status;
  }
  return all;
}

absl::Duration ConnectionFlags::timeout() const {
  return timeout_s > 0 ? absl::Seconds(timeout_s) : absl::InfiniteDuration();
}

absl::StatusOr<std::unique_ptr<client::Client>> ConnectionFlags::Connect(
    const Console& console) const {
  absl::StatusOr<client::Headers> all = AllHeaders();
  if (!all.ok()) return all.status();
  client::ClientOptions options;
  options.target = target;
  options.deadline = timeout();
  options.timer = console.timer;
  options.headers = [all = *std::move(all)] { return all; };
  options.access = access;
  return client::Client::Create(std::move(options));
}

void InputFlags::Add(CLI::App& app) {
  AddPictures(app);
  app.add_option("--concurrency", concurrency, "Pictures under way at once, 1 to 1024")
      ->check(CLI::Range(1, 1024).description(""))
      ->type_name("N")
      ->capture_default_str()
      ->group("Connection");
  app.add_flag("--stream", stream, "One stream in place of one request a picture")
      ->group("Connection");
}

void InputFlags::AddPictures(CLI::App& app) {
  app.add_option("PATH", paths,
                 "Pictures, folders (with all below), quoted patterns such as 'in/*.jpg'. Of "
                 "folders, hidden files and what programs keep beside pictures (@eaDir, __MACOSX) "
                 "are left out")
      ->type_name("");
  app.add_option("--files-from", files_from,
                 "Read more paths from a text file, one a line; - is the standard input")
      ->type_name("FILE")
      ->group("Input");
  app.add_flag("--follow-links", search.follow_links, "Follow links to folders, but not in circles")
      ->group("Input");
  app.add_option("--exclude", search.exclude,
                 "Leave out files and folders of this name, such as '*_small.jpg', or with a slash "
                 "in it of this path in a folder, such as 2019/raw; repeatable")
      ->type_name("PATTERN")
      ->allow_extra_args(false)  // what follows its value is a path
      ->group("Input");
  app.add_option("--model", model, "Model; default: the server's")
      ->type_name("NAME")
      ->group("Model");
  app.add_option("--model-version", model_version, "Version or alias; default: the server's choice")
      ->type_name("VERSION")
      ->group("Model");
  app.add_option("--priority", priority,
                 "Who waits: a person, or a job that can be held back under load; default: "
                 "interactive for calls, bulk for streams")
      ->check(CLI::IsMember({"interactive", "bulk"}).description(""))
      ->type_name("interactive|bulk")
      ->group("Connection");
  app.add_flag("--no-exif", no_exif,
               "Do not turn pictures upright by their EXIF or XMP orientation")
      ->group("Input");
  app.add_option("--decode", decode,
                 "How JPEG files are decoded: in full, or faster at a scale that stays at least "
                 "twice what the network needs; default: exact")
      ->check(CLI::IsMember({"exact", "scaled"}).description(""))
      ->type_name("exact|scaled")
      ->group("Input");
  app.add_option("--damaged", damaged,
                 "Image files that are damaged and can be read: features with a note, or an error; "
                 "default: the server's")
      ->check(CLI::IsMember({"accept", "refuse"}).description(""))
      ->type_name("accept|refuse")
      ->group("Input");
  app.add_option("--background", background,
                 "Colour under transparent pixels, such as 255,255,255; default: none, the stored "
                 "colour shows as if it were opaque")
      ->type_name("R,G,B")
      ->group("Input");
  app.add_option("--resize", resize, "How pictures are resized; default: the model's recipe")
      ->check(CLI::IsMember({"shorter_side", "shorter", "exact", "none"}).description(""))
      ->type_name("shorter_side|exact|none")
      ->group("Input");
  app.add_option("--crop", crop, "How pictures are cropped; default: the model's recipe")
      ->check(CLI::IsMember({"center", "none"}).description(""))
      ->type_name("center|none")
      ->group("Input");
  app.add_option("--input-size", input_size,
                 "Size of the network's input in pixels, or N for both sides")
      ->type_name("HxW")
      ->group("Input");
  app.add_option("--resize-size", resize_size,
                 "Length of the shorter side after --resize shorter_side")
      ->check(CLI::Range(1, 1 << 20).description(""))
      ->type_name("PIXELS")
      ->group("Input");
}

void InputFlags::AddPasses(CLI::App& app) {
  app.add_option("--scales", scales,
                 "Sizes at which pictures are looked at, such as 1,0.7071,0.5; the vectors are "
                 "summed. A backbone pass each")
      ->type_name("S,S,...")
      ->group("Input");
  app.add_flag("--flip", flip, "Look at each picture mirrored, too, and sum the vectors")
      ->group("Input");
}

absl::StatusOr<Pictures> InputFlags::FindPictures() const {
  std::vector<std::string> listed;
  if (!files_from.empty()) {
    absl::StatusOr<std::vector<std::string>> read = ReadPathList(files_from);
    if (!read.ok()) return read.status();
    listed = *std::move(read);
  } else if (paths.empty()) {
    return absl::InvalidArgumentError("no pictures: name files or folders, or --files-from FILE");
  }
  return ExpandPaths(paths, listed, search);
}

absl::StatusOr<v1::StreamConfig> InputFlags::Config(const std::vector<std::string>& heads) const {
  v1::StreamConfig config;
  config.set_model(model);
  config.set_model_version(model_version);
  for (const std::string& text : heads) {
    absl::StatusOr<v1::Head> head = client::ParseHead(text);
    if (!head.ok()) return head.status();
    *config.add_heads() = *std::move(head);
  }
  if (priority == "interactive") config.set_priority(v1::PRIORITY_INTERACTIVE);
  if (priority == "bulk") config.set_priority(v1::PRIORITY_BULK);
  v1::InputOptions& input = *config.mutable_input_options();
  if (no_exif) input.set_apply_exif(false);
  if (decode == "scaled") input.set_decode(v1::DECODE_MODE_SCALED);
  if (damaged == "accept") input.set_damaged(v1::DAMAGED_MODE_ACCEPT);
  if (damaged == "refuse") input.set_damaged(v1::DAMAGED_MODE_REFUSE);
  if (!background.empty() && !ParseColor(background, *input.mutable_background())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--background must be three numbers from 0 to 255, such as 255,255,255, not ", background));
  }
  if (resize == "shorter_side" || resize == "shorter") {  // a short form
    input.set_resize(v1::RESIZE_MODE_SHORTER_SIDE);
  }
  if (resize == "exact") input.set_resize(v1::RESIZE_MODE_EXACT);
  if (resize == "none") input.set_resize(v1::RESIZE_MODE_NONE);
  if (crop == "center") input.set_crop(v1::CROP_MODE_CENTER);
  if (crop == "none") input.set_crop(v1::CROP_MODE_NONE);
  if (flip) input.set_flip(true);
  if (!scales.empty() && !ParseScales(scales, input)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--scales must be numbers joined by commas, such as 1,0.7071,0.5, not ", scales));
  }
  if (resize_size > 0) input.set_resize_size_px(resize_size);
  if (!input_size.empty()) {
    int height, width;
    if (!ParseSize(input_size, height, width)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--input-size must be HxW or N in pixels, such as 224x320 or 224, not ", input_size));
    }
    input.set_input_height_px(height);
    input.set_input_width_px(width);
  }
  return config;
}

int ReportError(const Console& console, const absl::Status& status, const std::string& target) {
  const absl::Status told = client::internal::ExplainUnreached(status, target);
  console.err << "pixpool: " << Printable(client::Describe(told)) << "\n";
  if (absl::IsUnavailable(status) && client::GetErrorDetails(status).reason.empty()) {
    console.err << "pixpool: --target or PIXPOOL_TARGET name another server. Where it speaks TLS, "
                   "--tls does too.\n";
  } else if (absl::IsDeadlineExceeded(status)) {
    console.err << "pixpool: --timeout allows more time\n";
  }
  return ExitCodeFor(status);
}

int ReportUsageError(const Console& console, const absl::Status& status) {
  console.err << "pixpool: " << Printable(status.message()) << "\n";
  return kExitUsage;
}

}  // namespace pixpool::cli
