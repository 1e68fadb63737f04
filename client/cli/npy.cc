#include "client/cli/npy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/files.h"
#include "client/cli/text.h"
#include "client/cpp/error.h"
#include "client/cpp/values.h"
#include "google/protobuf/repeated_field.h"
#include "nlohmann/json.hpp"

namespace pixpool::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "rows are written as they lie in memory");

using HeadResults = google::protobuf::RepeatedPtrField<v1::HeadResult>;

constexpr size_t kHeaderBytes = 128;

// One array on its way to disk.
struct Array {
  std::string head_id, kind, layer, space_id, path;
  v1::Encoding encoding;
  std::vector<int64_t> row_shape;  // of the head, before packing
  std::ofstream file;

  bool half() const { return encoding == v1::ENCODING_FLOAT16; }
  bool binary() const { return encoding == v1::ENCODING_BINARY; }
  const char* type() const { return half() ? "<f2" : binary() ? "|u1" : "<f4"; }
  int64_t row_values() const {
    int64_t count = 1;
    for (const int64_t extent : row_shape) count *= extent;
    return count;
  }
  int64_t row_bytes() const {
    return binary() ? (row_values() + 7) / 8 : row_values() * (half() ? 2 : 4);
  }
  std::vector<int64_t> shape(size_t rows) const {
    std::vector<int64_t> shape = {static_cast<int64_t>(rows)};
    if (binary()) {
      shape.push_back(row_bytes());
    } else {
      shape.insert(shape.end(), row_shape.begin(), row_shape.end());
    }
    return shape;
  }
};

std::string FileSafe(std::string name) {
  for (char& c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_') c = '_';
  }
  return name;
}

// A row as it goes into the file.
absl::StatusOr<std::string> RowBytes(const v1::HeadResult& head) {
  if (!head.activation_map().png().empty()) {
    return absl::FailedPreconditionError(
        "a heatmap in an .npy file needs format=floats; `pixpool heatmap` writes PNG");
  }
  if (head.encoding() == v1::ENCODING_FLOAT16 || head.encoding() == v1::ENCODING_BINARY) {
    return head.packed_values();
  }
  std::vector<float> values = client::DecodeValues(head).value();
  for (int i = 0; i < head.class_scores_size(); ++i) {
    if (head.class_scores(i).class_index() != i) {
      return absl::FailedPreconditionError(
          "class_scores in an .npy file need all classes in class order: class_scores:top_k=0");
    }
    values.push_back(head.class_scores(i).score());
  }
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
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
    absl::Status status = AddOutcome(outcome);
    return absl::IsDataLoss(status) ? KeepRows(status) : status;
  }

  absl::Status Finish() override {
    if (rows_.empty()) return absl::OkStatus();
    absl::Status status;
    for (Array& array : arrays_) {
      errno = 0;
      array.file.close();
      if (!array.file) status.Update(CannotWrite(array.path, errno));
    }
    status.Update(Complete());
    return absl::IsDataLoss(status) ? KeepRows(status) : status;
  }

  std::string Note() const override {
    return rows_.empty() ? path_ + " was not written: no picture has features" : "";
  }

 private:
  absl::Status AddOutcome(const ImageOutcome& outcome) {
    if (!outcome.status.ok()) {
      failed_.push_back({{"path", outcome.path}, {"error", client::Describe(outcome.status)}});
      return absl::OkStatus();
    }
    const v1::Features& features = outcome.features;
    if (features.head_results_size() > 0 || features.regions_size() == 0) {
      if (absl::Status s = AddHeads(outcome, features.head_results(), nullptr); !s.ok()) return s;
    }
    for (const v1::RegionFeatures& region : features.regions()) {
      const std::array<float, 4> box = {region.left_px(), region.top_px(), region.right_px(),
                                        region.bottom_px()};
      if (absl::Status s = AddHeads(outcome, region.head_results(), box); !s.ok()) return s;
      has_boxes_ = true;
    }
    return absl::OkStatus();
  }

  // One row of every head, of a picture or of a box of it.
  absl::Status AddHeads(const ImageOutcome& outcome, const HeadResults& heads,
                        nlohmann::ordered_json box) {
    if (rows_.empty()) {
      if (absl::Status s = Open(heads); !s.ok()) return s;
      model_ = absl::StrCat(outcome.model.name(), "/", outcome.model.version());
    }
    if (static_cast<size_t>(heads.size()) != arrays_.size()) {
      return absl::InternalError(absl::StrCat("the server answered ", heads.size(), " heads for ",
                                              outcome.path, ", not ", arrays_.size()));
    }
    for (size_t i = 0; i < arrays_.size(); ++i) {
      const v1::HeadResult& head = heads[static_cast<int>(i)];
      if (absl::Status s = AddRow(arrays_[i], head, outcome.path); !s.ok()) return s;
    }
    rows_.push_back(outcome.path);
    boxes_.push_back(std::move(box));
    return absl::OkStatus();
  }

  // Makes whole files of the parts, with as many rows as rows_ has: the index last, since where it
  // is, all is.
  absl::Status Complete() {
    nlohmann::ordered_json heads = nlohmann::ordered_json::array();
    for (const Array& array : arrays_) {
      if (absl::Status s = CompletePart(array, heads); !s.ok()) return s;
    }
    const std::string index = stem_ + ".index.json";
    if (absl::Status s = WritePart(index, IndexText(heads)); !s.ok()) return s;
    for (const Array& array : arrays_) {
      if (absl::Status s = Publish(array.path); !s.ok()) return s;
    }
    finished_ = true;
    return Publish(index);
  }

  absl::Status CompletePart(const Array& array, nlohmann::ordered_json& heads) const {
    const std::vector<int64_t> shape = array.shape(rows_.size());
    const absl::StatusOr<std::string> header = NpyHeader(shape, array.type());
    if (!header.ok()) return header.status();
    const std::string part = array.path + kPartSuffix;
    std::error_code ec;
    std::filesystem::resize_file(part, kHeaderBytes + rows_.size() * array.row_bytes(), ec);
    if (ec) return CannotWrite(array.path, ec.value());
    errno = 0;
    std::fstream file(part, std::ios::binary | std::ios::in | std::ios::out);
    file << *header;
    file.close();
    if (!file) return CannotWrite(array.path, errno);
    heads.push_back({{"head_id", array.head_id},
                     {"kind", array.kind},
                     {"layer", array.layer},
                     {"space_id", array.space_id},
                     {"encoding", client::EncodingName(array.encoding)},
                     {"file", std::filesystem::path(array.path).filename().string()},
                     {"shape", shape}});
    if (array.binary()) heads.back()["bits"] = array.row_values();
    return absl::OkStatus();
  }

  // After `error`, for which no more can be written: makes files of the rows that are on disk.
  // Returns the error, and what is kept.
  absl::Status KeepRows(const absl::Status& error) {
    size_t rows = rows_.size();
    for (Array& array : arrays_) {
      if (array.file.is_open()) array.file.close();
      std::error_code ec;
      const uintmax_t bytes = std::filesystem::file_size(array.path + kPartSuffix, ec);
      const uintmax_t values = ec || bytes < kHeaderBytes ? 0 : bytes - kHeaderBytes;
      rows = std::min<size_t>(rows, values / std::max<int64_t>(array.row_bytes(), 1));
    }
    // The rows that go make room for the index of those that stay.
    for (; rows > 0; rows -= std::max<size_t>(rows / 16, 1)) {
      rows_.resize(rows);
      boxes_.resize(rows);
      if (Complete().ok()) {
        return absl::DataLossError(absl::StrCat(error.message(), "; what was done is kept: ", rows,
                                                rows == 1 ? " picture" : " pictures"));
      }
    }
    return error;
  }

  absl::Status Open(const HeadResults& heads) {
    std::set<std::string> names;
    for (const v1::HeadResult& head : heads) {
      Array array{head.head_id(), head.kind(),     head.layer(), head.space_id(),
                  path_,          head.encoding(), {},           {}};
      if (heads.size() > 1) {
        array.path = absl::StrCat(stem_, ".", FileSafe(head.head_id()), ".npy");
      }
      if (!names.insert(array.path).second) {
        return absl::InvalidArgumentError(absl::StrCat("two heads would both go to ", array.path,
                                                       "; give them head ids of plain letters"));
      }
      array.row_shape.assign(head.shape().begin(), head.shape().end());
      errno = 0;
      array.file.open(array.path + kPartSuffix, std::ios::binary | std::ios::trunc);
      array.file << std::string(kHeaderBytes, '\0');
      arrays_.push_back(std::move(array));
      if (!arrays_.back().file) return CannotWrite(arrays_.back().path, errno);
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
    const absl::StatusOr<std::string> bytes = RowBytes(head);
    if (!bytes.ok()) return bytes.status();
    if (static_cast<int64_t>(bytes->size()) != array.row_bytes()) {
      return absl::InternalError(absl::StrCat("head ", array.head_id, " of ", path, " has ",
                                              bytes->size(), " bytes, not ", array.row_bytes(),
                                              ", for shape ", ShapeText(shape)));
    }
    errno = 0;
    array.file << *bytes;
    return array.file ? absl::OkStatus() : CannotWrite(array.path, errno);
  }

  std::string IndexText(const nlohmann::ordered_json& heads) const {
    nlohmann::ordered_json index = {
        {"model", model_}, {"heads", heads}, {"images", rows_}, {"failed", failed_}};
    if (has_boxes_) index["boxes"] = boxes_;
    constexpr auto kReplace = nlohmann::ordered_json::error_handler_t::replace;
    return index.dump(2, ' ', false, kReplace) + "\n";
  }

  std::string path_;
  std::string stem_;
  std::string model_;
  std::vector<Array> arrays_;                  // one per head, opened with the first picture
  std::vector<std::string> rows_;              // the picture of each
  std::vector<nlohmann::ordered_json> boxes_;  // and its box; null for the whole picture
  bool has_boxes_ = false;
  nlohmann::ordered_json failed_ = nlohmann::ordered_json::array();
  bool finished_ = false;
};

}  // namespace

absl::StatusOr<std::string> NpyHeader(const std::vector<int64_t>& shape, absl::string_view type) {
  std::string extents = absl::StrJoin(shape, ", ");
  if (shape.size() == 1) extents += ",";
  const std::string dictionary =
      absl::StrCat("{'descr': '", type, "', 'fortran_order': False, 'shape': (", extents, "), }");
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
