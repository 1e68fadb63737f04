// The computations behind the rows of the head table. Torch-free, so that the table is, too.
#pragma once

#include "server/heads/heads.h"

namespace pixpool {

// Preconditions of all: the spec passed ValidateHead, CheckHeadOnMap holds for the map, and the map
// is float32. They may throw what torch throws; callers go through ComputeHead.

// heads_global.cc
HeadTensors ComputeGlobalAvg(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeGlobalMax(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeAvgMax(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeCatAvgMax(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeGem(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeLse(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeLp(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeFeatureMap(const HeadSpec& spec, const HeadInput& input);

// heads_spatial.cc
HeadTensors ComputeRmac(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeCrow(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeSpoc(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeScda(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeSpatialPyramid(const HeadSpec& spec, const HeadInput& input);

// heads_windowed.cc
HeadTensors ComputeAdaptiveAvg(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeAdaptiveMax(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeMaxPool(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeAvgPool(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeMaxUnpool(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeConvPool(const HeadSpec& spec, const HeadInput& input);

// heads_class.cc
HeadTensors ComputeClassScores(const HeadSpec& spec, const HeadInput& input);
HeadTensors ComputeClassActivationMap(const HeadSpec& spec, const HeadInput& input);

}  // namespace pixpool
