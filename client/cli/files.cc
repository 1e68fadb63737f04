#include "client/cli/files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace pixpool::cli {

absl::Status CannotWrite(absl::string_view path, int error) {
  const std::string reason = error == 0 ? "" : absl::StrCat(": ", std::strerror(error));
  return absl::DataLossError(absl::StrCat("cannot write ", path, reason));
}

absl::Status CheckStream(const std::ostream& out, absl::string_view name) {
  return out.good() ? absl::OkStatus() : CannotWrite(name, errno);
}

void KeepWholeLines(const std::string& path) {
  std::error_code ec;
  if (!std::filesystem::is_regular_file(path, ec)) return;
  constexpr int64_t kStep = 1 << 16;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  int64_t end = file.tellg();
  std::string bytes;
  while (file && end > 0) {
    const int64_t begin = std::max<int64_t>(0, end - kStep);
    bytes.resize(static_cast<size_t>(end - begin));
    file.seekg(begin).read(bytes.data(), end - begin);
    if (const size_t line = bytes.rfind('\n'); line != std::string::npos) {
      end = begin + static_cast<int64_t>(line) + 1;
      break;
    }
    end = begin;
  }
  if (file) std::filesystem::resize_file(path, static_cast<uintmax_t>(end), ec);
}

absl::Status Publish(const std::string& path) {
  std::error_code ec;
  std::filesystem::rename(path + kPartSuffix, path, ec);
  return ec ? CannotWrite(path, ec.value()) : absl::OkStatus();
}

absl::Status WritePart(const std::string& path, absl::string_view bytes) {
  errno = 0;
  std::ofstream file(path + kPartSuffix, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (file) return absl::OkStatus();
  absl::Status status = CannotWrite(path, errno);
  std::error_code ec;  // a part that is gone is what is wanted
  std::filesystem::remove(path + kPartSuffix, ec);
  return status;
}

absl::Status WriteFile(const std::string& path, absl::string_view bytes) {
  if (absl::Status s = WritePart(path, bytes); !s.ok()) return s;
  absl::Status status = Publish(path);
  std::error_code ec;  // a part that is gone is what is wanted
  if (!status.ok()) std::filesystem::remove(path + kPartSuffix, ec);
  return status;
}

}  // namespace pixpool::cli
