#include "client/cli/npy.h"

#include <bit>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/text.h"
#include "client/cpp/error.h"
#include "nlohmann/json.hpp"

namespace pixpool::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "rows are written as they lie in memory");

constexpr size_t kHeaderBytes = 128;
constexpr char kPartSuffix[] = ".part";

// One array on its way to disk.
struct Array {
  std::string head_id, kind, layer, space_id, path;
  std::vector<int64_t> row_shape;
  std::ofstream file;
};

std::string FileSafe(std::string name) {
  for (char& c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_') c = '_';
  }
  return name;
}

absl::Status CannotWrite(const std::string& path) {
  return absl::DataLossError(absl::StrCat("cannot write ", path));
}

class NpyWriter final : public Writer {
 public:
  explicit NpyWriter(std::string path) : path_(std::move(path)) {
    const std::filesystem::path p(path_);
    stem_ = p.extension() == ".npy" ? (p.parent_path() / p.stem()).string() : path_;
  }

  ~NpyWriter() override {
    for (Array& array : arrays_) {
      std::error_code ec;  // a part that is gone is what is wanted
      if (!finished_) std::filesystem::remove(array.path + kPartSuffix, ec);
    }
  }

  absl::Status Add(const ImageOutcome& outcome) override {
    if (!outcome.status.ok()) {
      failed_.push_back({{"path", outcome.path}, {"error", client::Describe(outcome.status)}});
      return absl::OkStatus();
    }
    const v1::Features& features = outcome.features;
    if (rows_.empty()) {
      if (absl::Status s = Open(features); !s.ok()) return s;
      model_ = absl::StrCat(outcome.model.name(), "/", outcome.model.version());
    }
    if (static_cast<size_t>(features.head_results_size()) != arrays_.size()) {
      return absl::InternalError(absl::StrCat("the server answered ", features.head_results_size(),
                                              " heads for ", outcome.path, ", not ",
                                              arrays_.size()));
    }
    for (size_t i = 0; i < arrays_.size(); ++i) {
      const v1::HeadResult& head = features.head_results(static_cast<int>(i));
      if (absl::Status s = AddRow(arrays_[i], head, outcome.path); !s.ok()) return s;
    }
    rows_.push_back(outcome.path);
    return absl::OkStatus();
  }

  absl::Status Finish() override {
    if (rows_.empty()) return absl::OkStatus();
    nlohmann::ordered_json heads = nlohmann::ordered_json::array();
    for (Array& array : arrays_) {
      std::vector<int64_t> shape = {static_cast<int64_t>(rows_.size())};
      shape.insert(shape.end(), array.row_shape.begin(), array.row_shape.end());
      const absl::StatusOr<std::string> header = NpyHeader(shape);
      if (!header.ok()) return header.status();
      array.file.seekp(0);
      array.file << *header;
      array.file.close();
      if (!array.file || !Publish(array.path)) return CannotWrite(array.path);
      heads.push_back({{"head_id", array.head_id},
                       {"kind", array.kind},
                       {"layer", array.layer},
                       {"space_id", array.space_id},
                       {"file", std::filesystem::path(array.path).filename().string()},
                       {"shape", shape}});
    }
    finished_ = true;
    return WriteIndex(heads);
  }

 private:
  absl::Status Open(const v1::Features& features) {
    std::set<std::string> names;
    for (const v1::HeadResult& head : features.head_results()) {
      Array array{head.head_id(), head.kind(), head.layer(), head.space_id(), path_, {}, {}};
      if (features.head_results_size() > 1) {
        array.path = absl::StrCat(stem_, ".", FileSafe(head.head_id()), ".npy");
      }
      if (!names.insert(array.path).second) {
        return absl::InvalidArgumentError(absl::StrCat("two heads would both go to ", array.path,
                                                       "; give them head ids of plain letters"));
      }
      array.row_shape.assign(head.shape().begin(), head.shape().end());
      array.file.open(array.path + kPartSuffix, std::ios::binary | std::ios::trunc);
      array.file << std::string(kHeaderBytes, '\0');
      if (!array.file) return CannotWrite(array.path);
      arrays_.push_back(std::move(array));
    }
    return absl::OkStatus();
  }

  absl::Status AddRow(Array& array, const v1::HeadResult& head, const std::string& path) {
    const std::vector<int64_t> shape(head.shape().begin(), head.shape().end());
    if (shape != array.row_shape) {
      return absl::FailedPreconditionError(absl::StrCat(
          "head ", array.head_id, " gives ", ShapeText(shape), " for ", path, " and ",
          ShapeText(array.row_shape), " for ", rows_.front(),
          "; an .npy file needs one size: use a head of fixed size, an input of fixed size, or "
          "--format json"));
    }
    if (head.space_id() != array.space_id) {
      return absl::FailedPreconditionError(
          absl::StrCat("head ", array.head_id, " has space id ", head.space_id(), " for ", path,
                       " and ", array.space_id, " for ", rows_.front(),
                       "; such vectors must not be compared, so not share a file"));
    }
    std::vector<float> values(head.values().begin(), head.values().end());
    for (int i = 0; i < head.class_scores_size(); ++i) {
      if (head.class_scores(i).class_index() != i) {
        return absl::FailedPreconditionError(
            "class_scores in an .npy file need all classes in class order: class_scores:top_k=0");
      }
      values.push_back(head.class_scores(i).score());
    }
    int64_t expected = 1;
    for (const int64_t extent : shape) expected *= extent;
    if (static_cast<int64_t>(values.size()) != expected) {
      return absl::InternalError(absl::StrCat("head ", array.head_id, " of ", path, " has ",
                                              values.size(), " values for shape ",
                                              ShapeText(shape)));
    }
    array.file.write(reinterpret_cast<const char*>(values.data()),
                     static_cast<std::streamsize>(values.size() * sizeof(float)));
    return array.file ? absl::OkStatus() : CannotWrite(array.path);
  }

  static bool Publish(const std::string& path) {
    std::error_code ec;
    std::filesystem::rename(path + kPartSuffix, path, ec);
    return !ec;
  }

  absl::Status WriteIndex(const nlohmann::ordered_json& heads) {
    const nlohmann::ordered_json index = {
        {"model", model_}, {"heads", heads}, {"images", rows_}, {"failed", failed_}};
    const std::string path = stem_ + ".index.json";
    std::ofstream file(path + kPartSuffix, std::ios::trunc);
    file << index.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
    file.close();
    return file && Publish(path) ? absl::OkStatus() : CannotWrite(path);
  }

  std::string path_;
  std::string stem_;
  std::string model_;
  std::vector<Array> arrays_;  // one a head, opened with the first picture
  std::vector<std::string> rows_;
  nlohmann::ordered_json failed_ = nlohmann::ordered_json::array();
  bool finished_ = false;
};

}  // namespace

absl::StatusOr<std::string> NpyHeader(const std::vector<int64_t>& shape) {
  std::string extents = absl::StrJoin(shape, ", ");
  if (shape.size() == 1) extents += ",";
  const std::string dictionary =
      absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", extents, "), }");
  constexpr size_t kPreamble = 10;  // magic, version, length
  if (dictionary.size() + 1 > kHeaderBytes - kPreamble) {
    return absl::InvalidArgumentError(
        absl::StrCat("shape ", ShapeText(shape), " is too long for an .npy header"));
  }
  std::string header("\x93NUMPY\x01\x00", 8);
  const auto length = static_cast<uint16_t>(kHeaderBytes - kPreamble);
  header += static_cast<char>(length & 0xFF);
  header += static_cast<char>(length >> 8);
  header += dictionary;
  header.resize(kHeaderBytes - 1, ' ');
  return header + "\n";
}

std::unique_ptr<Writer> NewNpyWriter(std::string path) {
  return std::make_unique<NpyWriter>(std::move(path));
}

}  // namespace pixpool::cli
