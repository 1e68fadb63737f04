#include "client/cli/files.h"

#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace pixpool::cli {

absl::Status CannotWrite(absl::string_view path) {
  return absl::DataLossError(absl::StrCat("cannot write ", path));
}

absl::Status Publish(const std::string& path) {
  std::error_code ec;
  std::filesystem::rename(path + kPartSuffix, path, ec);
  return ec ? CannotWrite(path) : absl::OkStatus();
}

absl::Status WriteFile(const std::string& path, absl::string_view bytes) {
  std::ofstream file(path + kPartSuffix, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  absl::Status status = file ? Publish(path) : CannotWrite(path);
  std::error_code ec;  // a part that is gone is what is wanted
  if (!status.ok()) std::filesystem::remove(path + kPartSuffix, ec);
  return status;
}

}  // namespace pixpool::cli
