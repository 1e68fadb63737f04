// Heads on regions of a picture, and what that shares with heads on whole pictures. For files of
// server/model that include torch anyway.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "server/heads/head_compute.h"
#include "server/model/model.h"

namespace pixpool {

// Applies the heads of a task to each of its regions, those of many regions at a time: `row` of the
// outputs of the backbone is pooled under each of them. Maps of no more than kRegionMapBytes, or of
// one region, are held at a time. Heads must read a map, and the device's maps are pooled on the
// CPU. Errors go to `result` as in RunHeads.
void RunRegions(absl::Span<const at::Tensor> outputs, int64_t row, const ModelTensors& model,
                absl::Span<const LayerInfo> layers, const ModelTask& task, ModelResult& result);

// The same for heads that give the same tensors: what follows pooling is each one's own.
std::string SameTensorsKey(const HeadSpec& spec);

// The remark on a head that loses negative values of its layer; empty where there is none.
std::string NegativesWarningOf(const HeadSpec& head, absl::Span<const LayerInfo> layers);

// Gives an image the error of one of its heads, unless it has one.
void FailImage(ModelResult& result, const absl::Status& error, size_t head);

// The result of a row with its remark and with what follows pooling: of a pass of several, the
// pass.
HeadOutput FinishedRow(const HeadSpec& head, const HeadTensors& tensors, int64_t row,
                       const std::string& warning, bool one_of_several);

}  // namespace pixpool
