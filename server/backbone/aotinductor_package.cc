#include "server/backbone/aotinductor_package.h"

#include <caffe2/serialize/inline_container.h>
#include <stdlib.h>

#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <tuple>

#include "server/base/text.h"

namespace pixpool {
namespace {

namespace fs = std::filesystem;

// Where a package holds its compiled models; the rest are notes for Python.
constexpr std::string_view kModels = "data/aotinductor/";

fs::path MakeFolder() {
  std::string name = (fs::temp_directory_path() / "pixpool_aotinductor_XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(),
                            Concat("no folder can be made as ", name, " (TMPDIR sets another)"));
  }
  return name;
}

void Unpack(const std::string& path, const fs::path& folder) {
  caffe2::serialize::PyTorchStreamReader reader(path);
  bool found = false;
  for (const std::string& name : reader.getAllRecords()) {
    if (!name.starts_with(kModels)) continue;
    if (name.find("..") != name.npos) {
      throw std::runtime_error(Concat("it holds '", name, "', which would leave its folder"));
    }
    const auto [data, size] = reader.getRecord(name);
    const fs::path file = folder / name;
    fs::create_directories(file.parent_path());
    std::ofstream out(file, std::ios::binary);
    out.write(static_cast<const char*>(data.get()), static_cast<std::streamsize>(size));
    if (!out.flush()) throw std::runtime_error(Concat(file.string(), " cannot be written"));
    found = true;
  }
  if (!found) throw std::runtime_error("it holds no compiled model");
}

}  // namespace

UnpackedPackage::UnpackedPackage(const std::string& path) : folder_(MakeFolder()) {
  try {
    Unpack(path, folder_);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
    throw;
  }
}

UnpackedPackage::~UnpackedPackage() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

}  // namespace pixpool
